"""Reads a finished .tflite file back: operators, tensors, quantization, metadata.

The file is untrusted: whatever it holds, :func:`read` ends in a :class:`TFLiteModel` or in a
:class:`UsageError`, and never takes more memory or time than the file's own size accounts for.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

MAGIC = b"TFL3"  # the flatbuffer file identifier, at byte 4
METADATA_NAME = "TFLITE_METADATA"
_NOTHING = np.zeros(0, np.uint8)
_TABLE = 8  # bytes: a table's offset in a vector, and its own offset to its list of fields
_MOST_DIMENSIONS = 16  # no kernel takes more than 8; a product of many outgrows a float
_MALFORMED = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the main subgraph.

    Attributes:
        shape: sizes as stored; activations are NHWC, convolution weights OHWI, depthwise
            weights 1HWC, fully connected weights OI.
        dtype: a numpy name such as "int8", or the schema's name in lower case.
        scales: one per tensor or one per slice along ``axis``; empty when not quantized.
        zero_points: as many as ``scales``.
        data: the constant's bytes; empty for an activation.
        is_static: False when a size is only known at run time.
        block_size: how many weights in a row share a scale, which another tensor then holds; 0
            where ``scales`` are all.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    is_static: bool
    data: npt.NDArray[np.uint8] = field(repr=False, compare=False)
    block_size: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the constant takes in the file; 0 for an activation."""
        return int(self.data.size)

    @property
    def is_constant(self) -> bool:
        """True for weights, biases and other values stored in the file."""
        return self.nbytes > 0

    @property
    def scale(self) -> float | None:
        """The scale of a tensor quantized as a whole, else None."""
        return self.scales[0] if len(self.scales) == 1 else None

    @property
    def zero_point(self) -> int | None:
        """The zero point of a tensor quantized as a whole, else None."""
        return self.zero_points[0] if len(self.scales) == 1 else None

    def values(self) -> npt.NDArray[Any]:
        """Returns the stored constant in ``shape`` and ``dtype``.

        Raises:
            UsageError: the tensor is no constant, or its bytes do not fill its shape.
        """
        try:
            return self.data.view(np.dtype(self.dtype)).reshape(self.shape)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"tensor '{self.name}' holds no usable constant", cause=str(error)
            ) from error


@dataclass(frozen=True)
class Operator:
    """An operator of the main subgraph, in the order of execution.

    Attributes:
        name: the schema's name such as "CONV_2D", or the custom code of a custom operator.
        inputs: tensor indices; -1 stands for an optional input that is absent.
        fused_activation: "NONE", "RELU", "RELU6", …
        options: the operator's options under the schema's names in snake case.
        custom_options: the bytes that a custom operator keeps for its own code, as they lie in
            the file; empty for a built-in operator.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fused_activation: str
    is_custom: bool
    options: Mapping[str, Any] = field(repr=False, compare=False)
    custom_options: npt.NDArray[np.uint8] = field(
        default_factory=lambda: _NOTHING, repr=False, compare=False
    )


@dataclass(frozen=True)
class TFLiteModel:
    """What a .tflite file holds; operators and tensors are those of the main subgraph.

    Attributes:
        inputs: tensor indices of the model's inputs.
        outputs: tensor indices of the model's outputs.
        metadata: the bytes of the TFLITE_METADATA buffer, or None.
    """

    size_bytes: int
    description: str
    subgraphs: int
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: bytes | None = field(repr=False)

    @property
    def custom_codes(self) -> tuple[str, ...]:
        """The custom operators in use, by name."""
        return tuple(sorted({op.name for op in self.operators if op.is_custom}))

    def producer(self, tensor: int) -> Operator | None:
        """The operator that writes ``tensor``; None for an input or a constant."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def consumers(self, tensor: int) -> list[Operator]:
        """The operators that read ``tensor``."""
        return [op for op in self.operators if tensor in op.inputs]


def read(path: StrPath) -> TFLiteModel:
    """Reads a .tflite file.

    Raises:
        UsageError: the file cannot be read, is not TFLite, or is damaged.
    """
    return parse(read_bytes(path), name=str(path))


def read_bytes(path: StrPath) -> bytes:
    """Returns the bytes of a regular file.

    Raises:
        UsageError: there is no such file, or it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        cause = "it is not a regular file" if path.exists() else "there is no such file"
        raise UsageError(f"cannot read {path}", cause=cause)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}", cause=error.strerror) from error


def parse(data: bytes, *, name: str = "the model") -> TFLiteModel:
    """Reads a model from the bytes of a .tflite file; ``name`` is used in error messages.

    Raises:
        UsageError: the bytes are not TFLite, or damaged.
    """
    if data[4:8] != MAGIC:
        cause = "the file is empty" if not data else "bytes 4 to 7 are not the identifier TFL3"
        raise UsageError(f"{name} is not a TFLite model", cause=cause, hint="give a .tflite file")
    try:
        return _Parser(data).model()
    except _MALFORMED as error:
        raise UsageError(
            f"{name} is a damaged TFLite model",
            cause=f"{len(data)} bytes that contradict themselves or end too soon ({error})",
            hint="copy or convert the file again",
        ) from error


@functools.cache
def schema() -> ModuleType:
    """The generated accessors of the TFLite schema, as LiteRT ships them."""
    from ai_edge_litert import schema_py_generated

    module: ModuleType = schema_py_generated
    return module


@functools.cache
def _names(enum: str) -> dict[int, str]:
    """Names by value of one of the schema's enumerations."""
    members = vars(getattr(schema(), enum)).items()
    return {value: key for key, value in members if not key.startswith("_")}


class _Parser:
    """Walks the flatbuffer and counts what it lists.

    Vectors of a crafted file may overlap, so that a few kilobytes could list gigabytes. What an
    honest file lists takes no more bytes than it has; `_take` stops where that is passed.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.budget = len(data)
        self.root = schema().Model.GetRootAs(data, 0)

    def _take(self, count: int) -> int:
        self.budget -= count
        if self.budget < 0:
            raise ValueError("its lists are longer than the file")
        return count

    def _each(self, length: int, item: Callable[[int], Any], size: int = 4) -> list[Any]:
        """Lists a vector whose elements take ``size`` bytes or more: 4, or a `_TABLE`."""
        self._take(length * size)
        return [item(i) for i in range(length)]

    def _text(self, raw: bytes | None) -> str:
        self._take(len(raw or b""))
        return (raw or b"").decode("utf-8", errors="replace")

    def model(self) -> TFLiteModel:
        root = self.root
        if root.SubgraphsLength() < 1:
            raise ValueError("it has no subgraph")
        graph = root.Subgraphs(0)
        buffers = self._each(root.BuffersLength(), lambda i: self._buffer(root.Buffers(i)), _TABLE)
        codes = self._each(
            root.OperatorCodesLength(), lambda i: self._code(root.OperatorCodes(i)), _TABLE
        )
        tensors = self._each(
            graph.TensorsLength(), lambda i: self._tensor(i, graph.Tensors(i), buffers), _TABLE
        )
        operators = self._each(
            graph.OperatorsLength(),
            lambda i: self._operator(i, graph.Operators(i), codes, len(tensors)),
            _TABLE,
        )
        inputs = self._indices(graph.InputsLength(), graph.Inputs, 0, len(tensors))
        outputs = self._indices(graph.OutputsLength(), graph.Outputs, 0, len(tensors))
        return TFLiteModel(
            size_bytes=len(self.data),
            description=self._text(root.Description()),
            subgraphs=root.SubgraphsLength(),
            operators=tuple(operators),
            tensors=tuple(tensors),
            inputs=inputs,
            outputs=outputs,
            metadata=self._metadata(buffers),
        )

    def _buffer(self, buffer: Any) -> npt.NDArray[np.uint8]:
        if buffer.Offset() > 1:  # models above 2 GB keep their data behind the flatbuffer
            return self._behind(buffer.Offset(), buffer.Size())
        data = buffer.DataAsNumpy()
        return data if isinstance(data, np.ndarray) else _NOTHING

    def _behind(self, offset: int, size: int) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self.data, np.uint8, size, offset)

    def _code(self, code: Any) -> tuple[str, int, bool]:
        # Codes up to 127 stand in both fields in new files, in the deprecated one in old files.
        value = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _names("BuiltinOperator").get(value, f"BUILTIN_{value}")
        custom = name == "CUSTOM"
        return (self._text(code.CustomCode()) if custom else name), code.Version(), custom

    def _tensor(self, index: int, tensor: Any, buffers: list[npt.NDArray[np.uint8]]) -> Tensor:
        quantization = tensor.Quantization()
        scales: tuple[float, ...] = ()
        zero_points: tuple[int, ...] = ()
        if quantization is not None and quantization.ScaleLength():
            count = quantization.ScaleLength()
            self._take(4 * count)
            # As arrays: element by element, a network's scales take most of the reading time.
            scales = tuple(quantization.ScaleAsNumpy().tolist())
            if quantization.ZeroPointLength() not in (0, count):
                raise ValueError(f"tensor {index} has unequal numbers of scales and zero points")
            given = quantization.ZeroPointLength() > 0
            zero_points = tuple(quantization.ZeroPointAsNumpy().tolist()) if given else (0,) * count
        if max(tensor.ShapeLength(), tensor.ShapeSignatureLength()) > _MOST_DIMENSIONS:
            raise ValueError(f"tensor {index} has more than {_MOST_DIMENSIONS} dimensions")
        shape = tuple(self._each(tensor.ShapeLength(), tensor.Shape))
        signature = self._each(tensor.ShapeSignatureLength(), tensor.ShapeSignature)
        if tensor.Buffer() >= len(buffers):
            raise ValueError(f"tensor {index} names a buffer that is not there")
        kind = _names("TensorType").get(tensor.Type(), f"type_{tensor.Type()}")
        return Tensor(
            index=index,
            name=self._text(tensor.Name()),
            shape=shape,
            dtype=kind.lower(),
            scales=scales,
            zero_points=zero_points,
            axis=quantization.QuantizedDimension() if scales else 0,
            is_static=min([*shape, *signature], default=0) >= 0,
            data=buffers[tensor.Buffer()],
            block_size=_block_size(quantization),
        )

    def _operator(
        self, index: int, operator: Any, codes: list[tuple[str, int, bool]], tensors: int
    ) -> Operator:
        name, version, custom = codes[operator.OpcodeIndex()]
        options = self._options(operator)
        activation = options.pop("fused_activation_function", 0)
        return Operator(
            index=index,
            name=name,
            version=version,
            inputs=self._indices(operator.InputsLength(), operator.Inputs, -1, tensors),
            outputs=self._indices(operator.OutputsLength(), operator.Outputs, 0, tensors),
            fused_activation=_names("ActivationFunctionType").get(activation, str(activation)),
            is_custom=custom,
            options=options,
            custom_options=self._custom_options(operator) if custom else _NOTHING,
        )

    def _custom_options(self, operator: Any) -> npt.NDArray[np.uint8]:
        """A view, counted like a list: whoever decodes it takes time for every byte of it."""
        offset, size = operator.LargeCustomOptionsOffset(), operator.LargeCustomOptionsSize()
        if offset > 1:  # as a large buffer, it lies behind the flatbuffer
            return self._behind(offset, self._take(size))
        data = operator.CustomOptionsAsNumpy()
        if not isinstance(data, np.ndarray):
            return _NOTHING
        self._take(data.size)
        return data

    def _options(self, operator: Any) -> dict[str, Any]:
        kind = _names("BuiltinOptions").get(operator.BuiltinOptionsType(), "NONE")
        table = operator.BuiltinOptions()
        if kind == "NONE" or table is None:
            return {}
        options = getattr(schema(), kind)()
        options.Init(table.Bytes, table.Pos)
        unpacked = vars(getattr(schema(), f"{kind}T").InitFromObj(options))
        return {_snake(key): value for key, value in unpacked.items()}

    def _indices(
        self, length: int, item: Callable[[int], int], low: int, high: int
    ) -> tuple[int, ...]:
        found = tuple(int(i) for i in self._each(length, item))
        if any(not low <= i < high for i in found):
            raise ValueError("it names a tensor that is not there")
        return found

    def _metadata(self, buffers: list[npt.NDArray[np.uint8]]) -> bytes | None:
        for entry in self._each(self.root.MetadataLength(), self.root.Metadata):
            if self._text(entry.Name()) == METADATA_NAME:
                return bytes(buffers[entry.Buffer()])
        return None


def _block_size(quantization: Any) -> int:
    """Of blockwise quantization, a table of its own in the schema; 0 for any other."""
    kind = "BlockwiseQuantization"
    if (
        quantization is None
        or _names("QuantizationDetails").get(quantization.DetailsType()) != kind
    ):
        return 0
    table = quantization.Details()
    details = getattr(schema(), kind)()
    details.Init(table.Bytes, table.Pos)
    return int(details.BlockSize())


def _snake(name: str) -> str:
    """``fusedActivationFunction`` → ``fused_activation_function``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
