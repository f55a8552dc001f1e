"""Builds a torch module from a plan. It needs torch and numpy alone: toolchains run it as a file.

A plan is JSON: ``name``, ``input``, ``outputs`` and ``steps`` in their order, each with

- ``name``: an identifier; also that of its submodule or attribute, and of what it writes;
- ``kind``: a row of `KINDS`;
- ``inputs``: names of earlier steps, or of the input;
- ``settings``: keywords of what the kind calls.

The arrays are the module's state dict.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional as F

Step = Mapping[str, Any]
State = Mapping[str, Tensor]
#: Adds a step to a graph, and what it needs to the root; returns what it writes.
Adder = Callable[[fx.Graph, nn.Module, State, Step, tuple[fx.Node, ...]], fx.Node]


def build(plan: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> fx.GraphModule:
    """Returns the module, in evaluation mode; of several outputs it returns a tuple.

    Args:
        plan: the steps.
        arrays: its state dict; they are copied.
    """
    state = {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}
    root, graph = nn.Module(), fx.Graph()
    values = {plan["input"]: graph.placeholder(plan["input"])}
    for step in plan["steps"]:
        inputs = tuple(values[name] for name in step["inputs"])
        values[step["name"]] = KINDS[step["kind"]](graph, root, state, step, inputs)
    outputs = tuple(values[name] for name in plan["outputs"])
    graph.output(outputs if len(outputs) > 1 else outputs[0])
    graph.lint()
    module = fx.GraphModule(root, graph, plan["name"])
    module.load_state_dict(state, assign=True)
    return module.eval()


def _add_module(
    make: Callable[..., nn.Module],
    graph: fx.Graph,
    root: nn.Module,
    state: State,
    step: Step,
    inputs: tuple[fx.Node, ...],
) -> fx.Node:
    with torch.device("meta"):  # the state dict brings the values
        root.add_module(step["name"], make(**step["settings"]))
    return graph.call_module(step["name"], inputs)


def _add_call(
    function: Callable[..., Any],
    graph: fx.Graph,
    root: nn.Module,
    state: State,
    step: Step,
    inputs: tuple[fx.Node, ...],
) -> fx.Node:
    node = graph.create_node(
        "call_function", function, inputs, dict(step["settings"]), name=step["name"]
    )
    return node


def _add_concat(
    graph: fx.Graph, root: nn.Module, state: State, step: Step, inputs: tuple[fx.Node, ...]
) -> fx.Node:
    return graph.create_node(
        "call_function", torch.cat, (list(inputs),), dict(step["settings"]), name=step["name"]
    )


def _add_method(
    method: str,
    graph: fx.Graph,
    root: nn.Module,
    state: State,
    step: Step,
    inputs: tuple[fx.Node, ...],
) -> fx.Node:
    return graph.create_node("call_method", method, inputs, name=step["name"])


def _add_array(
    make: Callable[[Tensor], Tensor],
    graph: fx.Graph,
    root: nn.Module,
    state: State,
    step: Step,
    inputs: tuple[fx.Node, ...],
) -> fx.Node:
    value = make(state[step["name"]])
    if isinstance(value, nn.Parameter):
        root.register_parameter(step["name"], value)
    else:
        root.register_buffer(step["name"], value)
    return graph.get_attr(step["name"])


#: What a step adds.
KINDS: dict[str, Adder] = {
    "Conv2d": partial(_add_module, nn.Conv2d),
    "Linear": partial(_add_module, nn.Linear),
    "BatchNorm2d": partial(_add_module, nn.BatchNorm2d),
    "ReLU": partial(_add_module, nn.ReLU),
    "ReLU6": partial(_add_module, nn.ReLU6),
    "SiLU": partial(_add_module, nn.SiLU),
    "Sigmoid": partial(_add_module, nn.Sigmoid),
    "AvgPool2d": partial(_add_module, nn.AvgPool2d),
    "MaxPool2d": partial(_add_module, nn.MaxPool2d),
    "AdaptiveAvgPool2d": partial(_add_module, nn.AdaptiveAvgPool2d),
    "Flatten": partial(_add_module, nn.Flatten),
    "add": partial(_add_call, operator.add),
    "mul": partial(_add_call, operator.mul),
    "pad": partial(_add_call, F.pad),
    "conv2d": partial(_add_call, F.conv2d),
    "linear": partial(_add_call, F.linear),
    "cat": _add_concat,
    "interpolate": partial(_add_call, F.interpolate),
    "tile": partial(_add_call, torch.tile),
    "permute": partial(_add_call, torch.permute),
    "reshape": partial(_add_call, torch.reshape),
    "argmax": partial(_add_call, torch.argmax),
    "float": partial(_add_method, "float"),
    "long": partial(_add_method, "long"),
    "fake_quantize": partial(_add_call, torch.fake_quantize_per_tensor_affine),
    "fake_quantize_channels": partial(_add_call, torch.fake_quantize_per_channel_affine),
    "parameter": partial(_add_array, nn.Parameter),
    "buffer": partial(_add_array, Tensor.detach),
}
