"""The stages of further schemes: each makes its network from the int8 one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.networks.schemes import AT_KERNELS, W8_DYNAMIC, W8A16
from edgekit.pipeline.post_training import Algorithms, Candidate
from edgekit.pipeline.stage import UNHASHED, FolderOf
from edgekit.pipeline.stages.quantize import Requantized
from edgekit.system.console import Progress
from edgekit.training.outputs import GRAPH

#: The schemes that are made from the int8 network.
FROM_INT8: dict[str, Callable[[Algorithms, Candidate], Candidate]] = {
    W8A16: Algorithms.with_int16_activations,
    W8_DYNAMIC: Algorithms.with_float_activations,
    AT_KERNELS: Algorithms.rounded_at_kernels,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class MakeScheme(Requantized):
    """Makes the network of another scheme from the int8 one, and corrects its biases.

    Attributes:
        quantized: the int8 network as it was before training in 8 bits, for its kernels' scales.
        scheme: of `FROM_INT8`.
        source: what tells the mean errors that biases take out; None leaves them as they are.
        thorough: as of `Algorithms`.
        device: torch device, or ``auto``.
    """

    scheme: str
    source: str | None
    thorough: bool
    device: str = field(metadata=UNHASHED)

    title = "quantize {0.scheme}"
    record = 3  # of kernels that round to the nearest; those before took the int8 network's

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        folders = self.quantized.folders(of)
        algorithms = Algorithms(folders, self.device, 0, progress, thorough=self.thorough)
        made = FROM_INT8[self.scheme](algorithms, algorithms.start())
        if self.source:
            made = algorithms.correct_biases_from(self.source, made, self.original.head)
        made.quantized.save(folder / GRAPH)
        kernels = sum(name.endswith("/kernel") for name in made.quantized.quant)
        return f"{kernels} int8 kernels{', corrected biases' if self.source else ''}"
