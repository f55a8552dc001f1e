"""Runs a small network in every form, each answer as [n, height, width, channels]."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from map_graphs import inputs
from numpy.typing import NDArray

from edgekit.calibration.pair_sums import fit_pairs
from edgekit.calibration.simulate import Simulation
from edgekit.converters.tflite.write import convert
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import WeightedNode
from edgekit.networks.predict import to_answers
from edgekit.networks.torch_network import Network
from edgekit.runtimes.base import answer_of
from edgekit.runtimes.interpreter import Kernels

#: LiteRT's three sets of kernels.
TFLITE = ("xnnpack", "builtin", "reference")


def in_torch(graph: Graph) -> NDArray:
    """The float network."""
    with torch.inference_mode():
        return to_answers(Network(graph).eval()(nchw(graph)))


def simulated(graph: Graph, *, ties_to_even: bool = False) -> NDArray:
    """The simulation of a quantized one; ``ties_to_even`` as everything but TFLite rounds."""
    simulation = Simulation(graph).eval()
    if ties_to_even:
        simulation.roundings = {}
    with torch.inference_mode():
        return to_answers(simulation(nchw(graph)))


def simulated_for_openvino(graph: Graph) -> NDArray:
    """The simulation of what only 8-bit kernels read rounded, with its kernels."""
    fitted = fit_pairs(graph)
    layers = [node for node in graph.nodes if isinstance(node, WeightedNode)]
    read = {name for node in layers for name in (*node.inputs, *node.weight_names())}
    kept = {name: params for name, params in fitted.quant.items() if name in read}
    simulation = Simulation(fitted).eval()
    simulation.quant, simulation.roundings = kept, {}
    with torch.inference_mode():
        return to_answers(simulation(nchw(graph)))


def nchw(graph: Graph) -> torch.Tensor:
    return torch.from_numpy(inputs(graph)).permute(0, 3, 1, 2)


def as_integers(graph: Graph) -> NDArray[np.int8]:
    """What the quantized network is given, int8 NHWC."""
    params = graph.quant[graph.input]
    steps = np.rint(inputs(graph) / params.scale[0]) + params.zero_point[0]
    return steps.clip(-128, 127).astype(np.int8)


def in_tflite(graph: Graph, kernels: str, contents: bytes | None = None) -> NDArray:
    """A .tflite file in LiteRT; integers of a quantized network's logits."""
    io = "int8" if graph.quant else "float32"
    runner = Kernels(contents or convert(graph, io=io), kernels)
    fed = as_integers(graph) if graph.quant else inputs(graph)
    return np.concatenate([runner.run([one[None]]) for one in fed])


def in_onnx(graph: Graph, batch: int | None = 1) -> NDArray:
    """A .onnx file in ONNX Runtime; reals."""
    import onnxruntime

    from edgekit.converters.onnx.write import convert as convert_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        convert_onnx(graph, batch=batch), options, providers=["CPUExecutionProvider"]
    )
    (image,) = session.get_inputs()
    fed = nchw(graph).numpy()
    each = [fed] if batch is None else [one[None] for one in fed]
    found = np.concatenate([session.run(None, {image.name: one})[0] for one in each])
    return np.stack([answer_of(one[None], channels_first=True) for one in found])


def in_openvino(graph: Graph) -> NDArray:
    """An OpenVINO model on the CPU; reals."""
    import openvino

    from edgekit.converters.openvino.write import convert as convert_openvino
    from edgekit.data.preprocessing import Preprocessing

    # It says how a photo is normalised, which a model of normalised values does not do.
    record = Preprocessing(graph.resolution, (127.0,) * 3, (128.0,) * 3, ())
    model = convert_openvino(graph, io="float32", preprocessing=record)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    found = [np.array(compiled(one[None].numpy())[0]) for one in nchw(graph)]
    return np.stack([answer_of(one, channels_first=True) for one in found])


def in_plain_torch(graph: Graph) -> NDArray:
    """The module of a plan."""
    from edgekit.converters.torch.builder import build
    from edgekit.converters.torch.plan import make_plan

    plan = make_plan(graph, fake_quantize=bool(graph.quant))
    with torch.inference_mode():
        return to_answers(build(plan.steps, plan.arrays)(nchw(graph)))


def alone(graph: Graph) -> Graph:
    """The same network without `QuantParams`."""
    return replace(graph, quant={})
