"""What networks cost by a table: blocks that it lacks are measured when a network has them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.search.tables.cut import CutNetwork, Files, cut_network
from edgekit.search.tables.measure import Device, measure_files, silent, table_for
from edgekit.search.tables.table import LatencyTable, load_table
from edgekit.system.console import Progress
from edgekit.system.paths import StrPath


class Meter:
    """Says how long networks take by a table in a file, which grows as it is asked.

    Args:
        path: of the table.
        open_device: gives the device where a block is missing.
        device: the same, where it is open already.

    Attributes:
        table: as it is now.
    """

    def __init__(
        self, path: StrPath, open_device: Callable[[], Device], device: Device | None = None
    ) -> None:
        self.path, self._open, self._device = Path(path), open_device, device
        self.table: LatencyTable = table_for(device, path) if device else load_table(path)

    def latency(self, spec: ModelSpec, side: int, classes: int) -> float:
        """Microseconds of a network.

        Args:
            spec: the network.
            side: of its input in pixels.
            classes: how many logits.

        Raises:
            UsageError: a block is missing, and the device is another than the table's.
            DeviceError: it is missing, and the device cannot be reached.
        """
        network = cut_network(spec, side, classes)
        if self.table.missing(network.keys):
            self.add([network])
        return self.table.latency(network.keys)

    def add(self, networks: list[CutNetwork]) -> None:
        """Measures the blocks of networks that the table lacks."""
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            files = Files(Path(folder))
            for network in networks:
                files.add_blocks(network, self.table.entries)
            self.measure(files)

    def measure(self, files: Files, progress: Progress = silent) -> None:
        """Measures files for which the table lacks rounds."""
        if self._device is None:
            self._device = self._open()
            self._device.identity.refuse_others(self.table.identity, self.path)
        self.table = measure_files(self._device, files, self.table, self.path, progress)
