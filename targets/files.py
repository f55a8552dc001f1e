"""Further files in which a target runs the network: how they are written and what they are called.

TFLite's files are always written and measured, as the control. A target with a runtime of its own
adds forms, each of which is a row of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.data.images import Pixels
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Splits
from edgekit.networks.graph import Graph
from edgekit.networks.schemes import W8A8
from edgekit.runtimes.open import find_runtime
from edgekit.system.host import installed
from edgekit.targets.toolchains.toolchain import Toolchain


@dataclass(frozen=True)
class Source:
    """What a form is written from.

    Attributes:
        graph: a prepared network, float or quantized as the form asks.
        preprocessing: of the weights.
        io: type of the input: ``float32`` where the build asks for that, else ``uint8``.
        calibration: calibration photos, uint8 batches [n, height, width, 3]; may be read again.
        choosing: the validation photos that may decide something, likewise, each batch with its
            classes, int64 [n]. The others tell what a decision was worth.
        splits: the photos themselves, for a form that trains.
        advance: told the steps done, the steps in all, and how training goes.
    """

    graph: Graph
    preprocessing: Preprocessing
    io: str
    calibration: Callable[[], Iterable[Pixels]]
    choosing: Callable[[], Iterable[tuple[Pixels, npt.NDArray[np.int64]]]]
    splits: Splits
    advance: Callable[[int, int, str], None]


@dataclass(frozen=True)
class Form:
    """A form of the network.

    Attributes:
        row: its name in the report, for example ``w8a8-openvino``.
        stem: what its files are called behind the variant's name, for example ``w8a8-static``.
        suffixes: of its files; the first is the one that the runtime opens.
        quantized: whether it is written from the quantized network, else from the float one.
        scheme: of that network, where kernels and biases of its own pay: `W8A8` is every file's.
        write: writes ``stem + suffix`` files into a folder; returns a detail for the terminal.
        reads: what else decides its contents, as JSON values.
        toolchain: that writes it; None where edgekit's own environment does.
        is_hosted: whether a runtime of this host runs it; else an `Execution` of the target does.
    """

    row: str
    stem: str
    suffixes: tuple[str, ...]
    quantized: bool
    write: Callable[[Source, Path], str]
    reads: tuple[tuple[str, Any], ...] = ()
    toolchain: Toolchain | None = None
    is_hosted: bool = True
    scheme: str = W8A8

    @property
    def file(self) -> str:
        """The file that the runtime opens."""
        return self.stem + self.suffixes[0]

    @property
    def names(self) -> dict[str, str]:
        """Its suffixes by the names that a build has for the files: the row, and row and suffix."""
        first, *others = self.suffixes
        return {self.row: first} | {self.row + suffix: suffix for suffix in others}

    @property
    def package(self) -> str:
        """The distribution of its runtime, or of what writes it."""
        if not self.is_hosted and self.toolchain is not None:
            return self.toolchain.package
        return find_runtime(self.file).package

    @property
    def runtime_version(self) -> str:
        """The runtime and its installed version."""
        if not self.is_hosted and self.toolchain is not None:
            return f"{self.toolchain.title} {self.toolchain.version}"
        runtime = find_runtime(self.file)
        return f"{runtime.title} {installed(runtime.package)}"
