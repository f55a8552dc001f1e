"""Estimates what a model needs of the Edge TPU's memory, and what it costs where it does not fit.

The chip has 8 MiB of SRAM. The compiler keeps parameters there, so that they are sent once; what
does not fit is sent again for every inference (coral.ai, "Edge TPU compiler", parameter data
caching). All of this is an estimate: the compiler does not say how it lays parameters out. How
much they grow was fitted to five networks that were really compiled (`laid_out`).
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
        file_parameter_bytes: weights and biases of the mapped operators, as the file stores them.
        parameter_bytes: the same as the chip stores them.
        on_chip_bytes: of these, what fits into the cache.
        streamed_bytes: of these, what is sent for every inference.
        largest_activation_bytes: the inputs and outputs that one operator has at once, at most.
    """

    file_parameter_bytes: int
    parameter_bytes: int
    on_chip_bytes: int
    streamed_bytes: int
    largest_activation_bytes: int

    @classmethod
    def of(cls, layers: Sequence[tuple[int, int]], largest_activation_bytes: int) -> Memory:
        """Adds up layers, given in the order of execution as bytes in the file and on the chip."""
        on_chip = cached([size for _, size in layers])
        total = sum(size for _, size in layers)
        stored = sum(size for size, _ in layers)
        return cls(stored, total, on_chip, total - on_chip, largest_activation_bytes)

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
            "file_parameter_bytes": self.file_parameter_bytes,
            "parameter_bytes": self.parameter_bytes,
            "on_chip_bytes": self.on_chip_bytes,
            "streamed_bytes": self.streamed_bytes,
            "largest_activation_bytes": self.largest_activation_bytes,
            "streaming_ms_at_least": self.streaming_ms(),
        }


def cached(layers: Sequence[int], cache: int = CACHE_BYTES) -> int:
    """How much of the cache layers fill, given their bytes in the order of execution.

    A layer is cached as a whole, while there is room; a smaller one behind it may still fit.
    """
    used = 0
    for layer in layers:
        if used + layer <= cache:
            used += layer
    return used


def laid_out(kernel: Sequence[int], *, depthwise: bool = False) -> int:
    """Estimates the bytes that a layer's weights and biases take on the chip.

    Channels are padded to 16 for a convolution or fully connected layer, to 64 for a depthwise
    one, whose kernel is padded to powers of two and takes two bytes per element: a 5x5 kernel
    takes 128 bytes per channel instead of 25. Fitted to the parameters inside three compiled files
    (MobileNet v1 0.25 at 128 px, DeepLab v3 0.5, PoseNet 0.5) and to the compiler's figures for
    EfficientNet-EdgeTPU-S and M (on-chip and off-chip together: 6,728 and 8,571 KiB; README of
    HanChangHun's pipelining experiments); off by at most 1.5 % on each of the five.

    Args:
        kernel: rows, columns, channels in, channels out; channels in twice for a depthwise one.
        depthwise: whether it is one.
    """
    rows, columns, fan_in, fan_out = kernel
    if depthwise:
        return (2 * _power_of_two(rows) * _power_of_two(columns) + 12) * _padded(fan_out, 64)
    return (rows * columns * _padded(fan_in, 16) + 16) * _padded(fan_out, 16)


def _padded(count: int, to: int) -> int:
    return -(-count // to) * to


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def estimate_memory(model: TFLiteModel, operators: Sequence[Operator]) -> Memory:
    """Estimates the memory of the operators that are mapped, in the order of execution."""
    layers = [_layer(model, op) for op in operators]
    return Memory.of(layers, max((activations(model, op) for op in operators), default=0))


def _layer(model: TFLiteModel, op: Operator) -> tuple[int, int]:
    """Bytes of an operator's weights and biases, in the file and on the chip."""
    stored = parameter_bytes(model, op)
    shape = model.tensors[op.inputs[1]].shape if len(op.inputs) > 1 and op.inputs[1] >= 0 else ()
    match op.name, shape:
        case "CONV_2D" | "TRANSPOSE_CONV", (fan_out, rows, columns, fan_in):
            return stored, laid_out((rows, columns, fan_in, fan_out))
        case "DEPTHWISE_CONV_2D", (_, rows, columns, channels):
            return stored, laid_out((rows, columns, channels, channels), depthwise=True)
        case "FULLY_CONNECTED", (fan_out, fan_in):
            return stored, laid_out((1, 1, fan_in, fan_out))
    return stored, stored


def activations(model: TFLiteModel, op: Operator) -> int:
    """Bytes of the activations that one operator reads and writes."""
    tensors = [model.tensors[i] for i in {*op.inputs, *op.outputs} if i >= 0]
    return sum(activation_bytes(tensor) for tensor in tensors if not tensor.is_constant)
