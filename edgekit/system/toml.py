"""Files of TOML, as users write them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: StrPath, what: str, hint: str | None = None) -> dict[str, Any]:
    """Reads a file; a byte order mark, as editors on Windows write it, is none of its text.

    Args:
        path: of the file.
        what: it is, for messages, such as "recipe".
        hint: what to do where there is none.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} {path}", cause=error.strerror, hint=hint
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML", cause=str(error)) from error
