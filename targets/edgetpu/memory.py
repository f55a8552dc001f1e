"""Estimates what a model needs of the Edge TPU's memory, and what it costs where it does not fit.

The chip has 8 MiB of SRAM in 16 tiles. The compiler keeps parameters there, so that they are sent
once; what does not fit is sent again for every inference (coral.ai, "Edge TPU compiler", parameter
data caching). How a layer's parameters are laid out (`Kernel`) was read out of compiled files and
is the same to the byte in most of them; which layers stay on the chip (`cached`) is an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.converters.tflite.cost import activation_bytes, parameter_bytes
from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel
from edgekit.errors import UsageError

MIB = 1 << 20
#: What the compiler's logs show as used and remaining for parameters, for small models: 7.67 to
#: 7.88 MiB of 8. The executable and the activations of larger ones take from it.
CACHE_BYTES = int(7.7 * MIB)
TILES = 16
TILE_BYTES = CACHE_BYTES // TILES
#: Outputs that one tile computes at a time: 64 outputs x 4 inputs are one line of parameters.
TILE_OUTPUTS = 64
#: What an LSTM of 20 units and a softmax of 10 have beside their weights, in the one compiled file
#: that was seen (pair keras_lstm_mnist_ptq): tables of their functions.
LSTM_TABLES = 28_864
#: What a uint8 softmax of 1,001 classes has: MobileNet v1 0.25 (pair), 0.5 and 0.75 (test_data). An
#: int8 one, of 256 to 16,384 elements, has none (libredgetpu, bright_*, compiled by version 16).
SOFTMAX_TABLE = 48_256

#: Payload of a bus in bytes per second, after its protocol and before any delay of the host, so
#: that a time computed with it is a lower bound. USB 2.0: 13 packets of 512 bytes in each of 8,000
#: microframes (specification, section 5.8.4). USB 3 (gen 1) and PCIe 2.0 x1: 5 GT/s in 8b/10b, less
#: headers of packets of 1,024 bytes and 128 bytes.
BUSES = {"usb2": 53.2e6, "usb3": 450e6, "pcie": 410e6}


@dataclass(frozen=True)
class Kernel:
    """The parameters of one layer, as the chip keeps them.

    Inputs are padded to 4, outputs to 16, and to 64 where there are more than 64. A depthwise
    kernel has 4 inputs per channel, of which 3 are padding: a 5x5 one takes 100 bytes per channel.
    Found by looking for the weights inside compiled files; with it the sum over all layers is that
    of the file to the byte for dense_256, gabor_64x64_p4, tcn_dilated, DeepLab v3 0.5, PoseNet and
    MobileNet v1 0.25 (in ../shared/edgetpu/pairs) and, of google-coral/test_data, for DeepLab v3
    1.0, DeepLab slim and MobileNet v1 0.5, 0.75 and, without its head, 1.0.

    Attributes:
        taps: rows times columns; 1 for a fully connected layer.
        fan_in: channels in; 1 for a depthwise kernel.
        outputs: channels out.
        output_bytes: per output, beside the kernel: 4 for a bias, 4 for the zero point of weights
            that are quantized per channel, 4 where their scales differ.
        is_depthwise: whether each channel is computed from one.
    """

    taps: int
    fan_in: int
    outputs: int
    output_bytes: int
    is_depthwise: bool = False

    @property
    def line_bytes(self) -> int:
        """Bytes per output."""
        return self.taps * _padded(self.fan_in, 4) + self.output_bytes

    @property
    def chip_bytes(self) -> int:
        """Bytes that are sent to the chip."""
        if self.is_depthwise:
            return _padded(_padded(self.outputs, 4) * self.line_bytes, 64)
        step = TILE_OUTPUTS if self.outputs > TILE_OUTPUTS else 16
        return _padded(self.outputs, step) * self.line_bytes

    @property
    def tile_bytes(self) -> int:
        """Bytes of the fullest tile: a tile has 64 outputs at a time, however few there are."""
        return -(-self.outputs // (TILE_OUTPUTS * TILES)) * TILE_OUTPUTS * self.line_bytes


@dataclass(frozen=True)
class Layer:
    """Parameters of one operator, in bytes.

    Attributes:
        stored_bytes: as the file stores them.
        chip_bytes: as the chip does.
        tile_bytes: what the fullest of its tiles holds.
    """

    stored_bytes: int
    chip_bytes: int
    tile_bytes: int = 0

    @property
    def fits_tile(self) -> bool:
        """Whether it can be cached at all; else it is streamed whole (`cached`)."""
        return self.tile_bytes <= TILE_BYTES

    @classmethod
    def of(cls, stored_bytes: int, *kernels: Kernel) -> Layer:
        """The layer that has these kernels."""
        return cls(
            stored_bytes,
            sum(kernel.chip_bytes for kernel in kernels),
            max((kernel.tile_bytes for kernel in kernels), default=0),
        )


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
    def of(cls, layers: Sequence[Layer], largest_activation_bytes: int) -> Memory:
        """Adds up layers, given in the order of execution."""
        on_chip = cached(layers)
        total = sum(layer.chip_bytes for layer in layers)
        stored = sum(layer.stored_bytes for layer in layers)
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


def cached(layers: Sequence[Layer], cache: int = CACHE_BYTES, tile: int = TILE_BYTES) -> int:
    """How much of the cache layers fill, given in the order of execution.

    A layer is cached as a whole, the last one first, while there is room (so the parameters of
    MobileNets that were compiled together lie: google-coral/test_data, cocompilation). One whose
    share of a tile is larger than the tile is streamed whole: fully connected layers of 94,400 to 1
    (pair tcn_dilated) and of 16,384 to 1 (ricardodeazambuja/libredgetpu, bright_128x128), where
    4,096 to 1 is cached; a convolution of 28,224 to 128 (google-coral/edgetpu issue 572).
    """
    used = 0
    for layer in reversed(layers):
        if layer.tile_bytes <= tile and used + layer.chip_bytes <= cache:
            used += layer.chip_bytes
    return used


def _padded(count: int, to: int) -> int:
    return -(-count // to) * to


def estimate_memory(model: TFLiteModel, operators: Sequence[Operator]) -> Memory:
    """Estimates the memory of the operators that are mapped, in the order of execution."""
    layers = [layer_of(model, op) for op in operators]
    return Memory.of(layers, max((activations(model, op) for op in operators), default=0))


def layer_of(model: TFLiteModel, op: Operator) -> Layer:
    """The parameters of one operator."""
    stored = parameter_bytes(model, op)
    if "LSTM" in op.name:
        gates = _gates(model, op)
        whole = Layer.of(stored, *gates)
        return Layer(stored, whole.chip_bytes + LSTM_TABLES, whole.tile_bytes)
    source = _tensor(model, op, 0)
    if op.name == "SOFTMAX" and source and source.dtype == "uint8":
        return Layer(stored, SOFTMAX_TABLE)
    kernel = _kernel(model, op)
    return Layer.of(stored, kernel) if kernel else Layer(stored, stored)


def _kernel(model: TFLiteModel, op: Operator) -> Kernel | None:
    """The kernel of an operator; None where it has none."""
    weights = _tensor(model, op, 1)
    shape = weights.shape if weights else ()
    match op.name, shape:
        case "CONV_2D" | "TRANSPOSE_CONV", (fan_out, rows, columns, fan_in):
            # One channel to one is computed as a depthwise kernel (pair looming_64x64_3x3).
            single = fan_in == fan_out == 1
        case "DEPTHWISE_CONV_2D", (_, rows, columns, fan_out):
            source, fan_in = _tensor(model, op, 0), 1
            # With more channels out than in it is a convolution of one channel (gabor_64x64_p4).
            single = source is not None and source.shape[-1:] == (fan_out,)
        case "FULLY_CONNECTED", (fan_out, fan_in):
            rows = columns = 1
            single = False
        case _:
            return None
    return Kernel(rows * columns, fan_in, fan_out, _output_bytes(model, op, weights), single)


def _gates(model: TFLiteModel, op: Operator) -> list[Kernel]:
    """The kernels of an LSTM: inputs 1 to 4 and 5 to 8 of its operator; 12 to 15 are biases."""
    kernels = [_tensor(model, op, place) for place in range(1, 9)]
    shapes = [kernel.shape for kernel in kernels if kernel is not None]
    biased = [4, 4, 4, 4, 0, 0, 0, 0]
    return [
        Kernel(1, shape[1], shape[0], bias)
        for shape, bias in zip(shapes, biased, strict=False)
        if len(shape) == 2
    ]


def _tensor(model: TFLiteModel, op: Operator, place: int) -> Tensor | None:
    """An input of an operator by its place; None where it is absent."""
    here = len(op.inputs) > place and op.inputs[place] >= 0
    return model.tensors[op.inputs[place]] if here else None


def _output_bytes(model: TFLiteModel, op: Operator, weights: Tensor | None) -> int:
    """What each output has beside its kernel; a bias of zeros is left out."""
    bias = _tensor(model, op, 2) if op.name != "TRANSPOSE_CONV" else _tensor(model, op, 3)
    scales = weights.scales if weights else ()
    per_channel = 4 * (len(scales) > 1) + 4 * (len({*scales}) > 1)
    return per_channel + 4 * (bias is not None and not _is_zero(bias))


def _is_zero(tensor: Tensor) -> bool:
    try:
        return not np.any(tensor.values())
    except UsageError:
        return False


def activations(model: TFLiteModel, op: Operator) -> int:
    """Bytes of the activations that one operator reads and writes."""
    tensors = [model.tensors[i] for i in {*op.inputs, *op.outputs} if i >= 0]
    return sum(activation_bytes(tensor) for tensor in tensors if not tensor.is_constant)
