"""Networks as the int8 files of their blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.converters.tflite.blocks import Block, find_blocks
from edgekit.converters.tflite.slice import Slicer
from edgekit.converters.tflite.untrained import write_untrained
from edgekit.networks.efficientnet.spec import ModelSpec

#: What the key of a whole network begins with.
WHOLE = "network-"


@dataclass(frozen=True)
class CutNetwork:
    """A network's int8 file with random weights, and its blocks.

    Attributes:
        contents: of the file.
        slicer: the same, read.
        blocks: of it, in order.
    """

    contents: bytes
    slicer: Slicer
    blocks: tuple[Block, ...]

    @property
    def keys(self) -> list[str]:
        """Its blocks', in order."""
        return [block.key for block in self.blocks]

    @property
    def key(self) -> str:
        """Of the whole."""
        return WHOLE + hashlib.sha256("".join(self.keys).encode()).hexdigest()[:24]


def cut_network(spec: ModelSpec, side: int, classes: int) -> CutNetwork:
    """Writes a network and finds its blocks.

    Args:
        spec: the network.
        side: of its input in pixels.
        classes: how many logits.
    """
    contents = write_untrained(spec, side, classes=classes)
    slicer = Slicer(contents)
    return CutNetwork(contents, slicer, find_blocks(slicer))


@dataclass
class Files:
    """Files of blocks and networks in a folder, each once.

    Attributes:
        folder: an empty one.
        words: what each is, by its key.
    """

    folder: Path
    words: dict[str, str] = field(default_factory=dict)

    def add_blocks(self, network: CutNetwork, known: Mapping[str, object]) -> None:
        """Writes those blocks of a network that are neither here nor known."""
        for block in network.blocks:
            if block.key in known or block.key in self.words:
                continue
            shapes = " to ".join("x".join(map(str, shape)) for shape in block.shapes)
            self._write(block.key, network.slicer.span(block.start, block.stop), shapes)

    def add_whole(self, network: CutNetwork, words: str) -> None:
        """Writes a whole network."""
        self._write(network.key, network.contents, words)

    def path(self, key: str) -> Path:
        """Of a file."""
        return self.folder / f"{key}.tflite"

    def _write(self, key: str, contents: bytes, words: str) -> None:
        self.path(key).write_bytes(contents)
        self.words[key] = words
