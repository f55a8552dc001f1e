"""`edgekit.bench.worker` with ExecuTorch's .pte files as well, for benchmarks/latency.py."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bench import worker
from edgekit.converters.file_task import FileTask
from edgekit.converters.model_files import About
from edgekit.data.images import Pixels
from edgekit.runtimes.open import RUNTIMES, Runtime
from edgekit.system.quiet import native_quiet


class ExecuTorch:
    """A program whose method ``forward`` takes normalised photos, float32 [1, 3, side, side].

    Attributes are those of `edgekit.runtimes.base.Runnable`.
    """

    def __init__(self, path: Path, *, threads: int = 1, **_: Any) -> None:
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime as Runner

        self.path, self.runtime = Path(path), f"ExecuTorch {version('executorch')}"
        with native_quiet():
            portable_lib._unsafe_reset_threadpool(threads)
            began = time.perf_counter()
            self._method = Runner.get().load_program(self.path).load_method("forward")
            self.load_seconds = time.perf_counter() - began
        self.side, self.width = self._method.metadata.input_tensor_meta(0).sizes()[2:]
        self._inputs: list[Any] = []

    def feed(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Values about as large as normalised ones: the speed does not depend on them."""
        values = (pixels.astype(np.float32) - 127.5) / 127.5
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None])

    def set_input(self, fed: npt.NDArray[np.float32]) -> None:
        """See `edgekit.runtimes.base.Runnable`."""
        import torch

        self._inputs = [torch.from_numpy(fed)]

    def invoke(self) -> None:
        """See `edgekit.runtimes.base.Runnable`."""
        self._outputs = self._method.execute(self._inputs)

    def answer(self, fed: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The logits of one photo, float32 [1, classes]."""
        self.set_input(fed)
        self.invoke()
        found: npt.NDArray[np.float32] = self._outputs[0].numpy().copy()
        return found


def about(path: Path) -> About:
    """What is known of such a file: it says nothing of its photos."""
    task = FileTask("", None, "it says nothing of its photos")
    return About(None, "w8a8-static", Path(path).stat().st_size, task, (), None)


RUNTIME = Runtime(
    ending=".pte",
    name="executorch",
    title="ExecuTorch",
    package="executorch",
    classifier=f"{__name__}:ExecuTorch",
    trace="",
    about=f"{__name__}:about",
    describe=None,
    extra=None,
    imports=("executorch.extension.pybindings.portable_lib", "executorch.runtime"),
)

if __name__ == "__main__":
    RUNTIMES[RUNTIME.ending] = RUNTIME
    worker.main()
