"""What each variant costs on an Edge TPU, read off its Graph: before anything is trained.

Memory is an estimate (`edgekit.targets.edgetpu.memory`); latencies are what others measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import UsageError
from edgekit.networks.cost import macs
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.catalog import figures
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Activation,
    DepthwiseConv2D,
    Flatten,
    FullyConnected,
    WeightedNode,
)
from edgekit.networks.passes import expand_activations, expand_sums
from edgekit.system.text import NOTHING, milliseconds, size
from edgekit.targets.edgetpu.memory import Kernel, Layer, Memory
from edgekit.targets.edgetpu.passes import prepare

#: What to compare with: the variants that Google made for such chips, without swish and
#: squeeze-excite, which it left out for "hardware/software stack limitations" (tensorflow/tpu 556).
MADE_FOR_IT = ("lite0", "es")
STICK = "Coral USB Accelerator"


@dataclass(frozen=True)
class Costs:
    """A variant on the Edge TPU.

    Attributes:
        name: of the variant.
        resolution: side of its input in pixels.
        operators: that its int8 file will have, without the conversions at its ends.
        gates: sigmoids among them, of swish and of squeeze-excite.
        macs: multiply-accumulates.
        memory: estimated.
        measured_ms: per inference on a Coral USB Accelerator, as published; None where nobody did.
        problem: why the target refuses it at this resolution; None where it does not.
    """

    name: str
    resolution: int
    operators: int
    gates: int
    macs: int
    memory: Memory
    measured_ms: float | None
    problem: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the costs as JSON values."""
        own = {name: value for name, value in vars(self).items() if name != "memory"}
        return {**own, **self.memory.to_dict()}


def costs(spec: ModelSpec, resolution: int | None = None) -> Costs:
    """Estimates a variant at its usual classes (`ModelSpec.usual_classes`).

    Args:
        spec: the variant.
        resolution: side of its input in pixels; its own by default.
    """
    graph = build_graph(spec, seed=None, resolution=resolution)
    graph = expand_activations(expand_sums(graph))
    problem = None
    try:
        graph = prepare(graph)
    except UsageError as error:
        problem = f"{error.message}; {error.hint}"
    own_size = resolution in (None, spec.resolution)
    measured = [
        row["ms"] for row in figures("latency", spec.name) if row["device"] == STICK and own_size
    ]
    return Costs(
        spec.name,
        graph.resolution,
        sum(not isinstance(node, Flatten) for node in graph.nodes),  # the writer drops it
        sum(isinstance(node, Activation) for node in graph.nodes),  # all written out by now
        sum(macs(graph, node) for node in graph.nodes),
        graph_memory(graph),
        min(measured, default=None),
        problem,
    )


def graph_memory(graph: Graph) -> Memory:
    """Estimates an int8 network: a byte per kernel element, four per bias, one per activation."""
    layers = []
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            kernel = graph.node_weights(node)["kernel"].shape
            channels = graph.shapes[node.name][-1]
            depthwise = isinstance(node, DepthwiseConv2D)
            rows, columns, fan_in, fan_out = (1, 1, *kernel)[-4:]
            if depthwise:
                rows, columns, fan_in, fan_out = *kernel[:2], 1, channels
            # A bias; of a convolution, quantized per channel, a zero point and a scale too.
            beside = 4 if isinstance(node, FullyConnected) else 12
            whole = Kernel(rows * columns, fan_in, fan_out, beside, depthwise)
            layers.append(Layer.of(math.prod(kernel) + 4 * channels, whole))
    largest = max(
        sum(math.prod(graph.shapes[name]) for name in {*node.inputs, node.name})
        for node in graph.nodes
    )
    return Memory.of(layers, largest)


def advice(spec: ModelSpec, resolution: int) -> list[str]:
    """What a variant costs on an Edge TPU, and what those made for it cost, a line each.

    Args:
        spec: the variant that is to be built.
        resolution: side of its input in pixels.
    """
    own = costs(spec, resolution)
    lines = [_line(own)]
    if own.gates:
        others = [costs(find_spec(name)) for name in MADE_FOR_IT if name != spec.name]
        lines += [f"for comparison, {_line(other)}" for other in others]
    return lines


def _line(found: Costs) -> str:
    memory = found.memory
    text = f"{found.name} at {found.resolution} px: {found.operators} operators"
    text += f", {found.gates} of them sigmoids" if found.gates else ""
    text += f"; {found.macs / 1e6:,.0f} M MACs; {size(memory.parameter_bytes)} of parameters"
    if memory.fits:
        text += ", which fit on the chip"
    else:
        ms = memory.streaming_ms()
        text += f", {size(memory.streamed_bytes)} of them streamed: at least {ms['usb3']:.1f} ms"
        text += f" per inference over USB 3, {ms['usb2']:.0f} ms over USB 2 (an estimate)"
    if found.measured_ms is not None:
        text += f"; {found.measured_ms:g} ms on the USB stick, as published"
    return text


def costs_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns `Costs.to_dict` of several variants as a table."""
    lines = [
        f"{'name':<6}{'px':>5}{'MACs (M)':>9}{'operators':>11}{'sigmoids':>10}{'parameters':>12}"
        f"{'on chip':>10}{'streamed':>10}  at least ms (USB 2, USB 3, PCIe)  measured"
    ]
    for row in rows:
        ms = row["streaming_ms_at_least"]
        times = ", ".join(milliseconds(ms[bus]) for bus in ("usb2", "usb3", "pcie"))
        measured = row["measured_ms"]
        lines.append(
            f"{row['name']:<6}{row['resolution']:>5}{row['macs'] / 1e6:>9,.0f}"
            f"{row['operators']:>11}{row['gates']:>10}{size(row['parameter_bytes']):>12}"
            f"{size(row['on_chip_bytes']):>10}{size(row['streamed_bytes']):>10}"
            f"  {times if row['streamed_bytes'] else NOTHING:<32}  "
            f"{milliseconds(measured)}"
        )
    return [
        *lines,
        "",
        "At 1000 classes, or those usual for the task, in int8. Bytes are estimates of what the",
        "chip stores, which is more than the file does; what does not fit is streamed for every",
        "inference, in at least that time.",
        "measured: ms on a Coral USB Accelerator, as published.",
    ]
