"""The options of Rockchip's compiler, checked before it is started."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError, did_you_mean
from edgekit.targets.base import TIMEOUT_S, option

#: That the compiler of rknn-toolkit2 2.5.0 builds our networks for
#: (tests/targets/rknn/test_compiler.py); for rk2118 it does not.
PLATFORMS = ("rk3562", "rk3566", "rk3568", "rk3576", "rk3588", "rv1126b")
DEFAULT = "rk3588"
LEVELS = range(4)  # of its optimizations


@dataclass(frozen=True)
class CompilerOptions:
    """What the compiler is asked for.

    Attributes:
        platform: the chip.
        optimization_level: 3 for all that the compiler has; 2 without some that change numbers.
        min_mapped: percent of the operators that must run on the NPU; None for no gate.
        timeout_s: how many seconds the compiler may take.

    Raises:
        UsageError: a value is out of its range.
    """

    platform: str = option(DEFAULT, f"The chip: {', '.join(PLATFORMS)}. [{DEFAULT}]", "NAME")
    optimization_level: int = option(3, "Of Rockchip's compiler, 0 to 3.")
    min_mapped: float | None = option(
        None, "Percent of the operators that must run on the accelerator; else it ends with 5."
    )
    timeout_s: int = option(TIMEOUT_S, "Seconds that the compiler may take.", name="timeout")

    def __post_init__(self) -> None:
        if self.chip not in PLATFORMS:
            hint = did_you_mean(self.chip, PLATFORMS)
            raise UsageError(f"unknown chip '{self.platform}'", hint=hint)
        if self.optimization_level not in LEVELS:
            raise UsageError(f"--optimization-level {self.optimization_level} is not in 0 to 3")
        if self.min_mapped is not None and not 0 <= self.min_mapped <= 100:
            raise UsageError(f"--min-mapped {self.min_mapped:g} is not in 0 to 100")
        if self.timeout_s < 1:
            raise UsageError(f"--timeout {self.timeout_s} is less than 1 second")

    @property
    def chip(self) -> str:
        """The chip as the compiler calls it."""
        return self.platform.lower()
