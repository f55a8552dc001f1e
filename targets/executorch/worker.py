"""Writes and runs .pte files; it is run by a Python that has executorch."""

from __future__ import annotations

import runpy
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

Arrays = dict[str, "np.ndarray[Any, Any]"]
Progress = Callable[[int, int], None]
#: A constant method of the program, whose text says how photos are prepared.
RECORD = "edgekit"
ROUNDED = torch.fake_quantize_per_tensor_affine
ROUNDED_BY_CHANNEL = torch.fake_quantize_per_channel_affine


class Refused(Exception):  # noqa: N818 - the protocol's name
    """XNNPACK or ExecuTorch does not take the network."""


def write(
    arguments: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], Arrays]:
    """Writes the program of a plan.

    Args:
        arguments: ``builder``, the file whose ``build`` makes a module of ``plan`` and the arrays;
            ``shape`` of the input; ``record``, the text that the program keeps.
        arrays: the module's state dict.
        progress: not called.

    Returns:
        ``delegates``, how many parts XNNPACK runs, ``outside``, the operators that it does not
        run, and the file as ``program``.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    torch.set_grad_enabled(False)
    module = runpy.run_path(arguments["builder"])["build"](arguments["plan"], arrays)
    store_integers(module)
    example = (torch.zeros(arguments["shape"]),)
    edge = to_edge_transform_and_lower(
        torch.export.export(module, example),
        partitioner=[XnnpackPartitioner()],
        constant_methods={RECORD: arguments["record"]},
    )
    calls = [n for n in edge.exported_program().graph.nodes if n.op == "call_function"]
    names = [getattr(call.target, "__name__", str(call.target)) for call in calls]
    outside = [name for name in names if name not in ("executorch_call_delegate", "getitem")]
    program = np.frombuffer(edge.to_executorch().buffer, np.uint8)
    delegates = names.count("executorch_call_delegate")
    return {"delegates": delegates, "outside": outside}, {"program": program}


def store_integers(module: fx.GraphModule) -> None:
    """Puts integers in the place of rounded reals, in the form that XNNPACK fuses.

    Kernels are stored as int8 and dequantized; a tensor is quantized once, and dequantized for
    each operator that reads it.
    """
    import torch.ao.quantization.fx._decomposed  # noqa: F401 - it registers the operators

    graph = module.graph
    for node in list(graph.nodes):
        if node.target is ROUNDED_BY_CHANNEL or (
            node.target is ROUNDED and node.args[0].op == "get_attr"
        ):
            _store_kernel(module, node)
        elif node.target is ROUNDED:
            _split_rounding(graph, node)
    module.recompile()


def _split_rounding(graph: fx.Graph, node: fx.Node) -> None:
    operators = torch.ops.quantized_decomposed
    names = ("scale", "zero_point", "quant_min", "quant_max")
    grid = (*(node.kwargs[name] for name in names), torch.int8)
    with graph.inserting_before(node):
        integers = graph.call_function(operators.quantize_per_tensor.default, (node.args[0], *grid))
    for user in list(node.users):
        with graph.inserting_before(user):
            reals = graph.call_function(operators.dequantize_per_tensor.default, (integers, *grid))
        user.replace_input_with(node, reals)
    graph.erase_node(node)


def _store_kernel(module: fx.GraphModule, node: fx.Node) -> None:
    """A kernel with one scale gets as many as it has channels, all the same."""
    graph, source = module.graph, node.all_input_nodes[0]
    kernel: Tensor = getattr(module, str(source.target)).detach()
    if node.target is ROUNDED:
        scales = torch.full((len(kernel),), float(node.kwargs["scale"]))  # type: ignore[arg-type]
    else:
        scales = getattr(module, str(node.all_input_nodes[1].target)).detach()
    low, high = node.kwargs["quant_min"], node.kwargs["quant_max"]
    steps = kernel.double() / scales.double().reshape(-1, *(1,) * (kernel.dim() - 1))
    held = {
        "integers": steps.round().clamp(low, high).to(torch.int8),  # type: ignore[arg-type]
        "scales": scales.float(),
        "zero_points": torch.zeros(len(kernel), dtype=torch.int64),
    }
    for name, values in held.items():
        module.register_buffer(f"{source.target}_{name}", values)
    with graph.inserting_before(node):
        attributes = [graph.get_attr(f"{source.target}_{name}") for name in held]
        reals = graph.call_function(
            torch.ops.quantized_decomposed.dequantize_per_channel.default,
            (*attributes, 0, low, high, torch.int8),
        )
    node.replace_all_uses_with(reals)
    sources = node.all_input_nodes
    graph.erase_node(node)
    for attribute in sources:
        graph.erase_node(attribute)
        delattr(module, str(attribute.target))


def read(
    arguments: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], Arrays]:
    """Reads the record of a program, and the names of its methods."""
    program = _open(arguments["program"])
    methods = sorted(program.method_names)
    if RECORD not in methods:
        return {"methods": methods, "record": None}, {}
    return {"methods": methods, "record": program.load_method(RECORD).execute([])[0]}, {}


def run(
    arguments: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], Arrays]:
    """Answers for ``inputs``, float32 [n, 3, height, width], one by one.

    Returns:
        ``milliseconds`` of one, the median, and ``outputs`` [n, ...], maps NCHW; where the program
        has several, which are rows, all of their columns.
    """
    program = _open(arguments["program"])
    try:
        method = program.load_method("forward")
    except RuntimeError as error:  # an operator that neither XNNPACK nor its own kernels have
        raise Refused(str(error)) from error
    outputs, seconds = [], []
    inputs = torch.from_numpy(arrays["inputs"])
    method.execute([inputs[:1]])  # the first run is slower
    for number in range(len(inputs)):
        began = time.perf_counter()
        answers = method.execute([inputs[number : number + 1]])
        seconds.append(time.perf_counter() - began)
        outputs.append(np.concatenate([answer.numpy()[0] for answer in answers], axis=-1))
        progress(number + 1, len(inputs))
    return {"milliseconds": 1000 * statistics.median(seconds)}, {"outputs": np.stack(outputs)}


def _open(path: str) -> Any:
    from executorch.runtime import Runtime

    try:
        return Runtime.get().load_program(path)
    except RuntimeError as error:
        raise Refused(str(error)) from error


TASKS = {"write": write, "read": read, "run": run}
