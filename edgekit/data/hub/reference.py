"""How a user names a data set on a hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from edgekit.data.photo_files import Source
from edgekit.errors import UsageError, did_you_mean

PREFIX = "hf://datasets/"
_NAME = r"[A-Za-z0-9][\w.-]*"
_REFERENCE = re.compile(rf"({_NAME}/{_NAME})(?:@([A-Za-z0-9][\w./-]*))?(?:#(.+))?")
_KEYS = ("config", "split", "label")


@dataclass(frozen=True)
class DataReference:
    """A data set, or a part of it.

    Attributes:
        repository: ``ORG/NAME``.
        revision: a commit, branch or tag; None for the commit that was first received.
        config: which of several data sets of the repository; None where it has one.
        split: the only one that is wanted; None for all.
        label: the column of the classes; None where it can be found.
    """

    repository: str
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        said = [f"{key}={getattr(self, key)}" for key in _KEYS if getattr(self, key)]
        return f"{PREFIX}{self.repository}{at}" + ("#" + ",".join(said) if said else "")


def is_on_hub(source: Source) -> bool:
    """Whether a user names something on a hub, and no path."""
    return os.fspath(source).startswith("hf:")


def refuse_hub(source: Source, option: str, what: str) -> None:
    """Raises UsageError where a data set on a hub is named and such ones are not read there."""
    if is_on_hub(source):
        raise UsageError(
            f"{option} {source}: data sets on a hub are read for classification alone",
            cause=f"this is {what}",
            hint="download it, and give its folder",
        )


def find_data_reference(source: Source, option: str) -> DataReference | None:
    """Reads the name of a data set on a hub; None where it is something else, such as a path.

    ``hf://datasets/ORG/NAME``, with ``@REVISION`` and ``#config=NAME,split=NAME,label=COLUMN``
    where they are meant.

    Raises:
        UsageError: it is nearly one.
    """
    text = os.fspath(source)
    if not is_on_hub(text):
        return None
    match = _REFERENCE.fullmatch(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else None
    if match is None:
        raise UsageError(
            f"{option} {text} does not name a data set on a hub",
            hint="hf://datasets/ORG/NAME, or hf://datasets/ORG/NAME@REVISION",
        )
    name, revision, said = match.groups()
    parts: dict[str, str] = {}
    for word in said.split(",") if said else ():
        key, _, value = word.partition("=")
        if key not in _KEYS or not value:
            raise UsageError(
                f"{option} {text} has '{word}' behind its name",
                hint=did_you_mean(key, _KEYS) or "#config=NAME,split=NAME,label=COLUMN",
            )
        parts[key] = value
    return DataReference(name, revision, **parts)
