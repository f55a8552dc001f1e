"""The options of Sony's converter, checked before it is started."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.targets.base import option

#: It takes two minutes for Lite0 and for B0 on two cores.
TIMEOUT_S = 900


@dataclass(frozen=True)
class ConverterOptions:
    """What `imxconv-pt` is asked for.

    Attributes:
        keep_photo: keep the photo in the chip's memory until the answer is there, for programs
            that show it.
        timeout_s: how many seconds it may take.

    Raises:
        UsageError: a value is out of its range.
    """

    keep_photo: bool = option(True, "Keep the photo in memory beside the answer.")
    timeout_s: int = option(TIMEOUT_S, "Seconds that the converter may take.", name="timeout")

    def __post_init__(self) -> None:
        if self.timeout_s < 1:
            raise UsageError(f"--timeout {self.timeout_s} is less than 1 second")

    def words(self) -> list[str]:
        """Returns them as `imxconv-pt` takes them."""
        return ["--input-persistency" if self.keep_photo else "--no-input-persistency"]
