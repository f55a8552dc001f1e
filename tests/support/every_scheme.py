"""A network in each scheme that the TFLite writer knows, from its int8 self."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgekit.calibration.activations import with_float_activations
from edgekit.calibration.mixed import keep_float
from edgekit.converters.tflite.write import convert
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Activation, WeightedNode
from edgekit.networks.quantization import INT8_MAX, INT8_MIN, bias_params, scale_owners

SCHEMES = ("fp32", "fp16", "w8-dynamic", "w8a8-static", "w8a8-mixed", "w8a16-static")
#: What LiteRT takes for granted of a sigmoid's output in int16.
SIGMOID = QuantParams((1 / 32768,), (0,), "int16")


@dataclass(frozen=True)
class Written:
    """A Graph and how it is written.

    Attributes:
        scheme: its name.
        graph: float or quantized.
        options: of `edgekit.converters.tflite.write.convert`.
    """

    scheme: str
    graph: Graph
    options: dict[str, Any]

    @property
    def contents(self) -> bytes:
        return convert(self.graph, **self.options)


def in_every_scheme(quantized: Graph, kept: tuple[str, ...] = ()) -> Iterator[Written]:
    """The network in each scheme, with every type that its file's ends may have.

    Args:
        quantized: in int8.
        kept: tensors that are float in mixed precision.
    """
    graph = replace(quantized, quant={})
    yield Written("fp32", graph, {})
    yield Written("fp16", graph, {"half": True})
    yield Written("w8-dynamic", with_float_activations(graph, quantized), {})
    for io in ("uint8", "int8", "float32"):
        yield Written("w8a8-static", quantized, {"io": io})
        yield Written("w8a8-mixed", keep_float(quantized, kept), {"io": io})
    for io in ("int16", "float32"):
        yield Written("w8a16-static", with_int16_activations(quantized), {"io": io})


def with_int16_activations(quantized: Graph) -> Graph:
    """The same network with the same ranges in 65,535 symmetric steps."""
    owners, quant = scale_owners(quantized), dict(quantized.quant)
    tensors = {quantized.input, *(node.name for node in quantized.nodes)}
    for name in tensors - quantized.class_tensors - quantized.float_tensors:
        params = quantized.quant[owners.get(name, name)]
        (scale,), (zero_point,) = params.scale, params.zero_point
        steps = max(zero_point - INT8_MIN, INT8_MAX - zero_point)
        quant[name] = QuantParams((steps * scale / 32767,), (0,), "int16")
    for node in quantized.nodes:
        if isinstance(node, Activation):
            quant[node.name] = SIGMOID
        if isinstance(node, WeightedNode):
            kernel, scale = quant[f"{node.name}/kernel"], quant[node.inputs[0]].scale[0]
            quant[f"{node.name}/bias"] = replace(bias_params(scale, kernel), dtype="int64")
    return replace(quantized, quant=quant)
