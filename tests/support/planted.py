"""A small quantized network, the file written from it, and ways to break that file."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.matching import match
from edgekit.converters.tflite.slice import Slicer
from edgekit.converters.tflite.write import convert
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.passes import absorb_normalization, prepare

SIDE, CLASSES = 48, 6
#: Narrow and short ones: a third of the channels, and the first five stages with two blocks each
#: but for the first, compute the same way in a tenth of the time.
B0, LITE0 = (
    replace(SPECS[name], width=0.35, depth=0.6, stages=SPECS[name].stages[:5])
    for name in ("b0", "lite0")
)
VARIANTS = {"b0": B0, "lite0": LITE0, "lite0 symmetric": replace(LITE0, padding="symmetric")}


def quantized(name: str) -> tuple[Graph, Graph]:
    """The float network with random weights, and the same quantized on random photos."""
    spec = VARIANTS[name]
    graph = build_graph(spec, classes=CLASSES, resolution=SIDE, seed=2)
    rng = np.random.default_rng(1)  # untrained shifts are all zero, and a file stores zeros once
    shifted = {
        key: array + rng.normal(0, 0.3, array.shape).astype(np.float32)
        for key, array in graph.weights.items()
        if key.endswith(("/beta", "/bias"))
    }
    dead = graph.weights["block3a_expand/gamma"].copy()  # trained networks have such channels
    dead[5] = 0
    weights = {**graph.weights, **shifted, "block3a_expand/gamma": dead}
    graph = replace(graph, weights=weights)
    prepared, mean, std = absorb_normalization(prepare(graph), spec.mean, spec.std, "common-zero")
    photos = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3))
    fixed = fixed_ranges(prepared, mean, std)
    histograms = collect(prepared, [((photos - mean) / std).astype(np.float32)], skip=fixed)
    return graph, quantize(prepared, choose_ranges(histograms, "mse") | fixed)


def write_files(folder: Path, name: str) -> tuple[Graph, Graph]:
    """Writes ``int8.tflite`` and ``float.tflite``; returns the two networks."""
    graph, int8 = quantized(name)
    (folder / "int8.tflite").write_bytes(convert(int8, io="uint8"))
    (folder / "float.tflite").write_bytes(convert(prepare(graph)))
    return graph, int8


class Plant:
    """A file to be changed in one place, addressed by the network's names."""

    def __init__(self, contents: bytes, graph: Graph) -> None:
        self.model = Slicer(contents).model
        self.found = match(graph, parse(contents))

    def tensor(self, name: str) -> Any:
        return self.model.subgraphs[0].tensors[self.found.tensors[name]]

    def quantization(self, name: str) -> Any:
        """The tensor's scales and zero points, writable."""
        quantization = self.tensor(name).quantization
        quantization.scale = np.array(quantization.scale)
        quantization.zeroPoint = np.array(quantization.zeroPoint)
        return quantization

    def operator(self, name: str) -> Any:
        operator = self.model.subgraphs[0].operators[self.found.operators[name]]
        # Operators of one kind may share their options.
        operator.builtinOptions = copy.copy(operator.builtinOptions)
        return operator

    def data(self, name: str) -> np.ndarray:
        """The constant's bytes, writable."""
        buffer = self.model.buffers[self.tensor(name).buffer]
        buffer.data = np.array(buffer.data, np.uint8)
        return buffer.data

    def pack(self) -> bytes:
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
