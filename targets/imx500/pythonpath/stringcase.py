"""The two functions of the package stringcase that Sony's converter calls.

The package itself (1.2.0, of 2017) has no wheel, and a toolchain is installed from wheels alone.
"""

from __future__ import annotations

import re


def camelcase(text: str) -> str:
    """Returns ``text`` as camelCase."""
    text = re.sub(r"\w[\s\W]+\w", "", str(text))
    return text[:1].lower() + re.sub(r"[\-_\.\s]([a-z])", lambda found: found[1].upper(), text[1:])


def snakecase(text: str) -> str:
    """Returns ``text`` as snake_case."""
    text = re.sub(r"[\-\.\s]", "_", str(text))
    return text[:1].lower() + re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), text[1:])
