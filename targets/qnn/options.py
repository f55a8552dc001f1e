"""The options of Qualcomm's compiler, checked before it is started."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.targets.base import TIMEOUT_S, option
from edgekit.targets.qnn.socs import DEFAULT, SOCS, Soc, find_soc

ENDING = "_qnn_ctx"  # of the names of what is made


@dataclass(frozen=True)
class CompilerOptions:
    """What the compiler is asked for.

    Attributes:
        soc: the chip, by name.
        min_mapped: percent of the operators that must run on the NPU; None for no gate.
        timeout_s: how many seconds the compiler may take.

    Raises:
        UsageError: a value is out of its range.
    """

    soc: str = option(DEFAULT, f"The Snapdragon: {', '.join(SOCS)}. [{DEFAULT}]", "NAME")
    min_mapped: float | None = option(
        None, "Percent of the operators that must run on the accelerator; else it ends with 5."
    )
    timeout_s: int = option(TIMEOUT_S, "Seconds that the compiler may take.", name="timeout")

    def __post_init__(self) -> None:
        find_soc(self.soc)
        if self.min_mapped is not None and not 0 <= self.min_mapped <= 100:
            raise UsageError(f"--min-mapped {self.min_mapped:g} is not in 0 to 100")
        if self.timeout_s < 1:
            raise UsageError(f"--timeout {self.timeout_s} is less than 1 second")

    @property
    def chip(self) -> Soc:
        """The chip."""
        return find_soc(self.soc)
