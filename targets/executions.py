"""A chip's own arithmetic on photos: simulators, reference models and interpreters of makers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.images import Pixels
from edgekit.runtimes.base import answer_of
from edgekit.targets.toolchains.toolchain import Toolchain
from edgekit.targets.toolchains.work import Advance


@dataclass(frozen=True)
class ChipFigures:
    """What a file needs on a chip.

    Attributes:
        latency_ms: of one inference; None where it is unknown.
        latency_by: whose figure that is, such as "Vela's estimate for ethos-u55-128".
        memory: bytes by what they are, such as "SRAM" and "flash".
        mapped: operators that run on the accelerator; None where there is none.
        on_cpu: operators that do not.
        fits: whether it fits the chip's memory; None where that is unknown.
    """

    latency_ms: float | None = None
    latency_by: str | None = None
    memory: Mapping[str, int] = field(default_factory=dict)
    mapped: int | None = None
    on_cpu: int | None = None
    fits: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return asdict(self) | {"memory": dict(self.memory)}

    def merged(self, other: ChipFigures) -> ChipFigures:
        """Returns these figures, and another's where these have none."""
        own = {name: value for name, value in self.to_dict().items() if value not in (None, {})}
        memory = {**other.memory, **self.memory}
        return ChipFigures(**(other.to_dict() | own | {"memory": memory}))


@dataclass(frozen=True)
class Answers:
    """What an execution gave.

    Attributes:
        outputs: the file's answers in reals as `edgekit.runtimes.base.Classifier` gives them:
            float32 [n, classes], maps NHWC, those of classes as integers, or rows.
        figures: of the chip, as far as running it told them.
    """

    outputs: NDArray[Any]
    figures: ChipFigures = ChipFigures()


def as_answers(outputs: NDArray[Any], *, channels_first: bool) -> NDArray[Any]:
    """Outputs of photos in the form of `Answers`.

    Args:
        outputs: [n, ...], without the batch of 1 of each.
        channels_first: whether its maps are NCHW.
    """
    return np.stack([answer_of(one[None], channels_first=channels_first) for one in outputs])


@dataclass(frozen=True)
class Execution:
    """One way in which a chip's own arithmetic answers for photos.

    Attributes:
        row: its name in the report, such as ``w8a8-tosa``.
        of: the file that it runs: ``w8a8`` for the int8 .tflite file, or the row of a `Form`.
        runtime: what runs it and its version, such as "TOSA reference model 2026.8".
        kind: what that is: "reference model", "simulator", "emulator", "interpreter", "runtime".
        toolchain: that it needs.
        run: answers for uint8 photos [n, height, width, 3] by the file at a path.
        most: photos that it takes at the most, where it is slow.
        exact: whether it claims to compute as LiteRT's reference kernels do, bit for bit.
        reads: what else decides its answers, as JSON values.
    """

    row: str
    of: str
    runtime: str
    kind: str
    toolchain: Toolchain
    run: Callable[[Path, Pixels, Advance], Answers]
    most: int | None = None
    exact: bool = False
    reads: tuple[tuple[str, Any], ...] = ()
