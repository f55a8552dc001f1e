"""Estimates what a model needs of the Edge TPU's memory, and what it costs where it does not fit.

The chip has 8 MiB of SRAM. The compiler keeps parameters there, so that they are sent once; what
does not fit is sent again for every inference (coral.ai, "Edge TPU compiler", parameter data
caching). All of this is an estimate: the compiler does not say how it lays parameters out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.converters.tflite_cost import activation_bytes, parameter_bytes
from edgekit.converters.tflite_file import Operator, TFLiteModel

MIB = 1 << 20
SRAM_BYTES = 8 * MIB
#: What the compiler's logs show as used and remaining for parameters, for small models: 7.67 to
#: 7.88 MiB of 8. The executable and the activations of larger ones take from it.
CACHE_BYTES = int(7.7 * MIB)

#: Payload of a bus in bytes per second, after its protocol and before any delay of the host, so
#: that a time computed with it is a lower bound. USB 2.0: 13 packets of 512 bytes in each of 8,000
#: microframes (specification, section 5.8.4). USB 3 (gen 1) and PCIe 2.0 x1: 5 GT/s in 8b/10b, less
#: headers of packets of 1,024 bytes and 128 bytes.
BUSES = {"usb2": 53.2e6, "usb3": 450e6, "pcie": 410e6}


@dataclass(frozen=True)
class Memory:
    """An estimate, in bytes.

    Attributes:
        parameter_bytes: constants of the operators that are mapped.
        on_chip_bytes: of these, what fits into the cache.
        streamed_bytes: of these, what is sent for every inference.
        largest_activation_bytes: the inputs and outputs that one operator has at once, at most.
    """

    parameter_bytes: int
    on_chip_bytes: int
    streamed_bytes: int
    largest_activation_bytes: int

    @property
    def fits(self) -> bool:
        """Whether nothing is streamed."""
        return self.streamed_bytes == 0

    def streaming_ms(self) -> dict[str, float]:
        """Milliseconds per inference that streaming costs at least, by bus."""
        return {bus: self.streamed_bytes / rate * 1e3 for bus, rate in BUSES.items()}

    def to_dict(self) -> dict[str, Any]:
        """Returns the estimate as JSON values."""
        return {
            "parameter_bytes": self.parameter_bytes,
            "on_chip_bytes": self.on_chip_bytes,
            "streamed_bytes": self.streamed_bytes,
            "largest_activation_bytes": self.largest_activation_bytes,
            "streaming_ms_at_least": self.streaming_ms(),
        }


def cached(layers: Sequence[int], cache: int = CACHE_BYTES) -> int:
    """How much of the cache layers fill, given their bytes in the order of execution.

    A layer is cached as a whole, while there is room for it; a smaller one behind it may still fit.
    """
    used = 0
    for layer in layers:
        if used + layer <= cache:
            used += layer
    return used


def estimate_memory(model: TFLiteModel, operators: Sequence[Operator]) -> Memory:
    """Estimates the memory of the operators that are mapped, in the order of execution."""
    layers = [parameter_bytes(model, op) for op in operators]
    on_chip = cached(layers)
    largest = max((activations(model, op) for op in operators), default=0)
    return Memory(sum(layers), on_chip, sum(layers) - on_chip, largest)


def activations(model: TFLiteModel, op: Operator) -> int:
    """Bytes of the activations that one operator reads and writes."""
    tensors = [model.tensors[i] for i in {*op.inputs, *op.outputs} if i >= 0]
    return sum(activation_bytes(tensor) for tensor in tensors if not tensor.is_constant)
