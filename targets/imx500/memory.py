"""Reads the memory report of Sony's converter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edgekit.errors import CompileError
from edgekit.system.text import size
from edgekit.targets.executions import ChipFigures

_UNITS = {"B": 1, "KB": 2**10, "MB": 2**20}


@dataclass(frozen=True)
class Memory:
    """What a network needs on the chip, in bytes.

    Attributes:
        weights: of its weights and its program.
        runtime: of its tensors.
        used: in all.
        available: on the chip.
        fits: whether the converter says that it fits.
    """

    weights: int
    runtime: int
    used: int
    available: int
    fits: bool

    def __str__(self) -> str:
        share = f"{size(self.used)} of {size(self.available)} on the chip"
        return share if self.fits else f"{share}: it does not fit"

    @property
    def figures(self) -> ChipFigures:
        """The same as a chip's figures."""
        memory = {"weights": self.weights, "tensors": self.runtime, "in all": self.used}
        return ChipFigures(memory=memory, fits=self.fits)


def parse_memory(report: dict[str, Any]) -> Memory:
    """Reads a report, as JSON.

    Raises:
        CompileError: it is not of the form that is known.
    """
    try:
        said = report["Memory Report"]
        return Memory(
            weights=_bytes(said["Model Memory Physical Size"]),
            runtime=_bytes(said["Runtime Memory Physical Size"]),
            used=_bytes(said["Memory Usage"]),
            available=_bytes(said["Total Memory Available On Chip"]),
            fits=bool(said["Fit In Chip"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CompileError(
            "the memory report of Sony's converter cannot be read",
            cause=f"{type(error).__name__}: {error}",
        ) from error


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([\d.]+)\s*([KM]?B)", text)
    if found is None:
        raise ValueError(f"'{text}' is no size")
    return round(float(found[1]) * _UNITS[found[2]])
