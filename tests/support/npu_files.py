"""Small int8 .onnx files for compilers of NPUs, right ones and such as they do not take whole."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx
import pytest
from pooled import CLASSES, MEAN, STD, plain, quantized

from edgekit.converters.onnx.package import package_onnx
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.targets.toolchains.toolchain import Toolchain

RECORD = Preprocessing(64, (MEAN,) * 3, (STD,) * 3, tuple("abcdefgh"[:CLASSES]))


def skip_without(toolchain: Toolchain) -> None:
    if not toolchain.is_installed:
        pytest.skip(f"needs {toolchain.title} ({toolchain.missing().hint})")


@cache
def network(name: str) -> Graph:
    return quantized(plain(name))


@cache
def contents(name: str, io: str = "float32", batch: int | None = 1) -> bytes:
    return package_onnx(
        network(name), preprocessing=RECORD, scheme="w8a8-static", io=io, batch=batch
    )


def write(folder: Path, name: str, io: str = "float32", batch: int | None = 1) -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(contents(name, io, batch))
    return path


def flatten_on_integers(path: Path) -> Path:
    """The same file with Flatten between QuantizeLinear and DequantizeLinear, as ONNX allows."""
    model = onnx.load(path)
    made_by = {node.output[0]: node for node in model.graph.node}
    (flatten,) = [node for node in model.graph.node if node.op_type == "Flatten"]
    before = made_by[flatten.input[0]]
    (behind,) = [node for node in model.graph.node if flatten.output[0] in node.input]
    flatten.input[0], flatten.output[0] = before.input[0], behind.output[0]
    model.graph.node.remove(before)
    model.graph.node.remove(behind)
    onnx.save(model, path)
    return path


def without_rounding_behind_gemm(path: Path) -> Path:
    """The same file without the last QuantizeLinear and DequantizeLinear."""
    model = onnx.load(path)
    nodes = list(model.graph.node)
    (place,) = [at for at, node in enumerate(nodes) if node.op_type == "Gemm"]
    nodes[place].output[0] = model.graph.output[0].name
    for node in nodes[place + 1 :]:
        model.graph.node.remove(node)
    onnx.save(model, path)
    return path
