"""A finished ONNX model: the network with what an application needs to know about it."""

from __future__ import annotations

import json

from edgekit.calibration.pair_sums import fit_pairs
from edgekit.converters.input_record import own_normalization
from edgekit.converters.onnx.write import WEIGHT_TYPES, convert
from edgekit.data.palette import class_colors
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.tasks.registry import find_task

AUTHOR = "edgekit"
#: Keys of ``metadata_props`` that hold JSON: the record of the file's input as
#: `Preprocessing.to_dict` gives it, the class names in the order of the output, and the colours,
#: [red, green, blue], in which a segmenter's classes are drawn.
RECORD_KEY, LABELS_KEY, COLORS_KEY = "edgekit", "labels", "colors"
#: What ``metadata_props`` say of int8 kernels that x86-64 without VNNI computes exactly.
KERNELS_KEY, PAIR_SUMS = "kernels", "pair sums"


def package_onnx(
    graph: Graph,
    *,
    preprocessing: Preprocessing,
    scheme: str,
    io: str = "float32",
    batch: int | None = 1,
    weights: str = WEIGHT_TYPES[0],
) -> bytes:
    """Writes a prepared network as an ONNX model with name, labels and preprocessing.

    Args:
        graph: as `edgekit.converters.onnx.write.convert` takes it; float, quantized or mixed.
            Without a classifier at its end it is an embedding, and has no labels.
        preprocessing: of the weights. What is stored is the record of the file's own input: its
            type, its layout, and the normalization that a quantized network was left.
        scheme: what the model's name says of its numbers, such as "w8a8-static".
        io: as for `convert`.
        batch: as for `convert`.
        weights: as for `convert`.

    Returns:
        The file's contents.

    Raises:
        UsageError: the labels do not fit the output, or as for `convert`.
        MissingToolError: the package onnx is not installed.
        EdgekitError: the model does not pass ONNX's own checker.
    """
    said = find_task(preprocessing.task).describe(graph, preprocessing.labels)
    labels = said.labels
    has_classes = graph.output in graph.class_tensors
    if labels and not has_classes and len(labels) != graph.classes:
        raise UsageError(
            "the labels do not fit the model",
            cause=f"{len(labels)} labels for {graph.classes} classes",
        )
    own = own_normalization(graph, preprocessing)
    record = own.of_input(*(("uint8", "NHWC") if io == "uint8" else ("float32", "NCHW")))
    metadata = {
        "name": f"EfficientNet-{graph.name.capitalize()} {scheme}",
        "description": said.text,
        "author": AUTHOR,
        RECORD_KEY: json.dumps(record.to_dict()),
        LABELS_KEY: json.dumps(list(labels)),
    }
    if labels and len(graph.outputs) == 1 and len(graph.shapes[graph.output]) > 1:
        metadata[COLORS_KEY] = json.dumps(class_colors(len(labels)).tolist())
    if weights == "int8" and fit_pairs(graph, across_taps=True).quant == graph.quant:
        metadata[KERNELS_KEY] = PAIR_SUMS
    return convert(
        graph, io=io, preprocessing=preprocessing, batch=batch, metadata=metadata, weights=weights
    )
