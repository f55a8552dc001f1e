"""The TFLite writer: walks the Graph, and packs what it finds into the file.

The Graph decides everything: the scheme is in its `QuantParams`, and nothing executes it on the
way. `edgekit.converters.tflite.operators` has an operator for each kind of node,
`edgekit.converters.tflite.pack` the file's structure.
"""

from __future__ import annotations

import io as streams
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgekit.converters.tflite import container
from edgekit.converters.tflite.about import About, describe
from edgekit.converters.tflite.file import Tensor
from edgekit.converters.tflite.operators import list_operations
from edgekit.converters.tflite.pack import MOST_INLINE, pack
from edgekit.converters.tflite.values import Value
from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.graph import Graph
from edgekit.networks.schemes import IO_TYPES
from edgekit.system.files import open_whole
from edgekit.system.paths import StrPath

#: By the type of a network's input, the types that its file's ends may have.
ENDS = {"float32": ("float32",), "int8": IO_TYPES, "int16": ("float32", "int16")}


def convert(
    graph: Graph, *, io: str = "float32", half: bool = False, about: About | None = None
) -> bytes:
    """Writes a prepared network (`edgekit.networks.passes.prepare`) as a TFLite flatbuffer.

    Args:
        graph: float, or quantized when it has `QuantParams`: in whole, in part
            (`edgekit.calibration.mixed`), or its kernels alone. What has none is computed in float.
        io: type of input and outputs: ``uint8``, ``int8`` or ``float32`` of a network with 8-bit
            activations, ``float32`` or ``int16`` with 16-bit ones, else ``float32``. Classes have
            a type of their own.
        half: whether a float network's weights are stored in float16; it computes in float32.
        about: class names, preprocessing and more, to stand in the file.

    Returns:
        The file's contents: batch 1, NHWC input; out come logits, NHWC where they are maps, or
        classes, which are int32, or uint8 behind a resize; of several outputs the rows of each,
        [1, rows, columns], in the Graph's order; or boxes, classes, scores and their number
        (`edgekit.converters.tflite.detections.OUTPUTS`), float32 whatever ``io`` is. The same Graph
        gives the same bytes.

    Raises:
        UsageError: the type does not exist, or does not fit the network.
        EdgekitError: a weight cannot be stored.
    """
    stream = streams.BytesIO()
    _write(stream, graph, io, half, about, MOST_INLINE)
    return stream.getvalue()


def write_tflite(
    graph: Graph,
    path: StrPath,
    *,
    io: str = "float32",
    half: bool = False,
    about: About | None = None,
    most_inline: int = MOST_INLINE,
) -> int:
    """As `convert`, into a file, which appears whole or not at all.

    Args:
        graph: as for `convert`.
        path: of the file.
        io: as for `convert`.
        half: likewise.
        about: likewise.
        most_inline: bytes of weights above which they are behind the flatbuffer
            (`edgekit.converters.tflite.pack.pack`); a flatbuffer ends at 2 GB.

    Returns:
        The file's size in bytes.

    Raises:
        UsageError: as `convert`.
        EdgekitError: likewise.
        OSError: the file cannot be written.
    """
    with open_whole(path) as stream:
        _write(stream, graph, io, half, about, most_inline)
    return Path(path).stat().st_size


def _write(
    stream: BinaryIO, graph: Graph, io: str, half: bool, about: About | None, most_inline: int
) -> None:
    _check(graph, io, half)
    operations = list_operations(graph, io, half=half)
    if about is None:
        pack(operations, stream, most_inline=most_inline)
        return
    results = [_as_tensor(value) for value in operations.results.values()]
    parts = describe(about, _as_tensor(operations.source), results)
    pack(operations, stream, metadata=parts.metadata, most_inline=most_inline)
    container.append(stream, parts.files)


def _check(graph: Graph, io: str, half: bool) -> None:
    """Refuses what cannot be written."""
    known = tuple(dict.fromkeys(end for ends in ENDS.values() for end in ends))
    if io not in known:
        raise UsageError(f"unknown input and output type '{io}'", hint=did_you_mean(io, known))
    if graph.quant and half:
        raise UsageError("a quantized network cannot be written as fp16")
    types = {
        name: graph.quant[name].dtype if name in graph.quant else "float32"
        for name in (graph.input, *graph.outputs)
        if name not in graph.class_tensors | graph.float_tensors
    }
    for name, dtype in types.items():
        if io not in ENDS[dtype]:
            raise UsageError(
                f"a network with a {dtype.replace('32', '')} '{name}' has no {io} input and output",
                hint=f"it may have {' or '.join(ENDS[dtype])}",
            )


def _as_tensor(value: Value) -> Tensor:
    """An end of the file as it will be read back."""
    params = value.params
    return Tensor(
        index=0,
        name=value.name,
        shape=value.shape,
        dtype=value.dtype,
        scales=tuple(float(np.float32(scale)) for scale in params.scale) if params else (),
        zero_points=params.zero_point if params else (),
        axis=0,
        is_static=True,
        data=np.zeros(0, np.uint8),
    )
