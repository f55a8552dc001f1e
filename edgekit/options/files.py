"""``edgekit.toml``: the options of a build in a folder, in place of the command line's.

Its keys are the options' names without hyphens in front, and ``model``::

    model = "lite0"
    data = "photos"
    target = ["tflite"]
    max-drop = 1.0
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Mapping
from typing import Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.options.build import EVERYDAY, GROUPS, BuildOptions
from edgekit.options.fields import REPEATED, option_name
from edgekit.system.paths import StrPath
from edgekit.system.toml import read_toml

OPTIONS_FILE = "edgekit.toml"
#: Of a comment's lines, in characters.
WIDTH = 96
#: Fields by the keys of a file.
_FIELDS = {option_name(item.name): item for item in dataclasses.fields(BuildOptions)}


def read_options(path: StrPath) -> dict[str, Any]:
    """Reads options from a file.

    Args:
        path: of the file.

    Returns:
        Values by the names of `BuildOptions`' fields, those that it has.

    Raises:
        UsageError: it cannot be read, names an unknown option, or a value cannot be used.
    """
    table = read_toml(path, "options")
    if unknown := [name for name in table if name not in _FIELDS]:
        raise UsageError(
            f"{path}: there is no option '{unknown[0]}'", hint=did_you_mean(unknown[0], _FIELDS)
        )
    values = {_FIELDS[name].name: value for name, value in table.items()}
    for name in REPEATED:
        if isinstance(values.get(name), str):
            values[name] = [values[name]]
    given: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in values.items()
    }
    try:
        _ = BuildOptions.make(**{"model": "b0", **given}).spec
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", cause=error.cause, hint=error.hint) from error
    return values


def template(values: Mapping[str, Any], about: str) -> str:
    """The text of a file: the everyday options first, then all others, commented out.

    Args:
        values: by the names of `BuildOptions`' fields; what is not here is commented out.
        about: sentences that it begins with.
    """
    lines = _comment(about)
    everyday = ["model", *(item.name for item in _FIELDS.values() if item.name in EVERYDAY)]
    for name in everyday:
        lines += ["", *_option(name, values)]
    for title, group in GROUPS.items():
        names = [item.name for item in dataclasses.fields(group) if item.name not in everyday]
        lines += ["", "", f"# == {title} =="]
        lines += [line for name in names for line in ("", *_option(name, values))]
    return "\n".join(lines) + "\n"


def _option(name: str, values: Mapping[str, Any]) -> list[str]:
    """The lines of an option: what it is, and its value."""
    item = _FIELDS[option_name(name)]
    said = _comment(item.metadata["help"])
    if name in values:
        return [*said, f"{option_name(name)} = {_toml(values[name])}"]
    default = "" if item.default in (None, ()) else f" {_toml(item.default)}"
    return [*said, f"#{option_name(name)} ={default}"]


def _comment(text: str) -> list[str]:
    """A comment's lines."""
    lines = (line for part in text.splitlines() for line in textwrap.wrap(part, WIDTH))
    return [f"# {line}" for line in lines]


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
