"""What a target's sources for a chip are written from, and what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.targets.deploy.model import Description, Expected, Source


@dataclass(frozen=True)
class Material:
    """What a target writes its sources from.

    Attributes:
        source: the file and its run.
        description: how it is used.
        expected: a photo for the sources, and this host's answer.
    """

    source: Source
    description: Description
    expected: Expected


@dataclass(frozen=True)
class Project:
    """Sources for a chip.

    Attributes:
        files: by path in the folder.
        checked: what was tried here, in words.
    """

    files: Mapping[str, bytes]
    checked: str
