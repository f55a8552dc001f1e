"""What test_tf25.py runs in both runtimes: whole networks, and each of their operators alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from described import embed
from every_scheme import in_every_scheme
from tiny_tflite import SIZE, TinyModel, schema

from edgekit.converters.tflite.slice import Slicer
from edgekit.data.preprocessing import Preprocessing

LABELS = ("a", "b", "c", "d", "é")
RESOLUTION = 64
RUNS = 8
#: The schemes, each with one type of its files' ends.
ENDS = {
    *((name, "float32") for name in ("fp32", "fp16", "w8-dynamic")),
    *(("w8a8-static", "uint8"), ("w8a8-mixed", "uint8"), ("w8a16-static", "float32")),
}


def networks() -> Iterator[tuple[str, bytes]]:
    """A tiny model, and B0 and Lite0 with random weights in every scheme.

    In int8 they are as edgekit writes them for the Edge TPU: the largest mean of B0 is split, as
    it would be at 224 px.
    """
    from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
    from edgekit.converters.tflite.about import About
    from edgekit.converters.tflite.write import convert
    from edgekit.networks.efficientnet.architecture import build_graph
    from edgekit.networks.efficientnet.find import find_spec
    from edgekit.networks.passes import absorb_normalization, prepare
    from edgekit.targets.edgetpu.passes import prepare as prepare_for_edgetpu
    from edgekit.targets.edgetpu.passes import split_large_means
    from edgekit.tasks.classification.task import LOGITS

    tiny = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, LABELS)
    yield "tiny", embed(TinyModel().pack(), **_about(tiny))
    pixels = np.random.default_rng(0).integers(0, 256, (4, RESOLUTION, RESOLUTION, 3))
    for name in ("b0", "lite0"):
        spec = find_spec(name)
        graph = build_graph(spec, classes=len(LABELS), resolution=RESOLUTION, seed=0)
        graph = prepare(graph.with_weights({**graph.weights, **_shifts(graph.weights)}))
        graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "depthwise")
        graph = prepare_for_edgetpu(split_large_means(graph, limit=(RESOLUTION // 4) ** 2))
        fixed = fixed_ranges(graph, mean, std)
        histograms = collect(graph, [((pixels - mean) / std).astype(np.float32)], skip=fixed)
        quantized = quantize(graph, choose_ranges(histograms, "mse") | fixed)
        record = Preprocessing(RESOLUTION, spec.mean, spec.std, LABELS)
        kept = ("block2a_project", "block5a_expand")
        for written in in_every_scheme(quantized, kept):
            io = written.options.get("io", "float32")
            if (written.scheme, io) not in ENDS:
                continue
            contents = convert(
                written.graph, **written.options, about=About(outputs=(LOGITS,), **_about(record))
            )
            yield f"{name}-{written.scheme}-{io}", contents


def _shifts(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Other than the zeros of an untrained network, whose outputs are near zero."""
    rng = np.random.default_rng(1)
    return {
        name: array + rng.normal(0, 0.3, array.shape)
        for name, array in weights.items()
        if name.endswith(("/beta", "/bias"))
    }


def _about(record: Preprocessing) -> dict[str, Any]:
    return {"name": "legacy", "description": "d", "labels": LABELS, "preprocessing": record}


def operators(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each distinct operator of a model as a model of its own, with its weights."""
    slicer = Slicer(data)
    seen = set()
    for number, operator in enumerate(slicer.model.subgraphs[0].operators):
        code = slicer.model.operatorCodes[operator.opcodeIndex]
        tensors = slicer.tensors(number)
        options = sorted(vars(operator.builtinOptions or object).items(), key=str)
        key = str((code.builtinCode, [list(t.shape) for t in tensors], options))
        if key in seen or any(t.type == schema.TensorType.FLOAT32 for t in tensors):
            continue
        seen.add(key)
        yield f"op{number:03d}", slicer.cut(number)


def write(path: Path, data: bytes) -> None:
    """Writes a model and random values of the full range for each of its inputs."""
    path.write_bytes(data)
    rng = np.random.default_rng(0)
    fed = {}
    for i, entry in enumerate(Interpreter(model_content=data).get_input_details()):
        shape, kind = (RUNS, *entry["shape"]), entry["dtype"]
        if np.issubdtype(kind, np.integer):
            fed[str(i)] = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape, kind)
        else:
            fed[str(i)] = rng.normal(size=shape).astype(kind)
    np.savez(path.with_suffix(".npz"), **fed)


def run(path: Path, kernels: OpResolverType = OpResolverType.AUTO) -> np.ndarray:
    """The raw outputs of LiteRT for what `write` wrote."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    fed = np.load(path.with_suffix(".npz"))
    entries = [entry["index"] for entry in interpreter.get_input_details()]
    outputs = []
    for i in range(RUNS):
        for number, entry in enumerate(entries):
            interpreter.set_tensor(entry, fed[str(number)][i])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.stack(outputs)
