"""Packs operators into the flatbuffer of a .tflite file.

The structure is the schema's own objects, as LiteRT ships them. Constants are made one after the
other, each in its place in the file, so that the memory is that of the file and of one constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import flatbuffers
import numpy as np

from edgekit.converters.tflite.file import MAGIC, METADATA_NAME, schema
from edgekit.converters.tflite.values import Operation, Operations, Value
from edgekit.networks.graph import QuantParams

#: Bytes of constants that a flatbuffer takes: it ends at 2**31, and the structure of the largest
#: network takes a few million of them.
MOST_INLINE = 2**31 - 2**26
#: Constants begin at multiples of so many bytes (``force_align`` in the schema).
ALIGNMENT = 16
#: Of the model itself, in the schema's words.
VERSION, SIGNATURE, SIGNATURE_INPUT = 3, "serving_default", "image"
#: An offset that a buffer has before its place is known; the schema keeps 0 and 1 for itself.
_UNKNOWN = 2


def pack(
    operations: Operations,
    stream: BinaryIO,
    *,
    metadata: bytes | None = None,
    most_inline: int = MOST_INLINE,
) -> None:
    """Writes the file.

    Args:
        operations: what it holds.
        stream: binary, at its beginning.
        metadata: contents of the buffer TFLITE_METADATA.
        most_inline: bytes of constants above which they are written behind the flatbuffer, each
            with its ``offset`` and ``size``, as the schema has it for models beyond 2 GB.
    """
    values = _all_values(operations)
    constants = [value for value in values if value.data is not None]
    total = sum(value.nbytes + ALIGNMENT for value in constants)
    model = _Model(operations, values, metadata)
    if total <= most_inline:
        stream.write(model.pack([_Inline(value) for value in constants], total))
        return
    length = len(model.pack([_Behind(_UNKNOWN, value.nbytes) for value in constants]))
    places = list(_places(constants, length))
    # An offset takes 8 bytes, whatever it is: the second structure is as long as the first.
    pairs = list(zip(places, constants, strict=True))
    stream.write(model.pack([_Behind(start, value.nbytes) for start, value in pairs]))
    for start, value in pairs:
        stream.write(bytes(start - stream.tell()))
        stream.write(memoryview(_bytes(value)))


def _all_values(operations: Operations) -> list[Value]:
    """Every tensor once, in the order of the operators."""
    found = {operations.source.name: operations.source}
    for step in operations.steps:
        found |= {value.name: value for value in (*step.inputs, *step.outputs)}
    return list(found.values())


def _places(constants: Sequence[Value], position: int) -> Iterator[int]:
    """Where each constant begins in a file whose structure ends at ``position``."""
    for value in constants:
        position += -position % ALIGNMENT
        yield position
        position += value.nbytes


def _bytes(value: Value) -> Any:
    numbers = value.data() if value.data else np.zeros(0, np.uint8)
    return np.ascontiguousarray(numbers).reshape(-1).view(np.uint8)


@dataclass(frozen=True)
class _Inline:
    """A buffer with its numbers, in the form that the schema's objects pack."""

    value: Value

    def Pack(self, builder: Any) -> int:  # noqa: N802 (the schema's name)
        return _pack_buffer(builder, _bytes(self.value))


@dataclass(frozen=True)
class _Behind:
    """A buffer whose numbers are behind the flatbuffer."""

    offset: int
    size: int

    def Pack(self, builder: Any) -> int:  # noqa: N802 (the schema's name)
        api = schema()
        api.BufferStart(builder)
        api.BufferAddOffset(builder, self.offset)
        api.BufferAddSize(builder, self.size)
        return int(api.BufferEnd(builder))


@dataclass(frozen=True)
class _Raw:
    """A buffer of given bytes."""

    data: bytes

    def Pack(self, builder: Any) -> int:  # noqa: N802 (the schema's name)
        return _pack_buffer(builder, np.frombuffer(self.data, np.uint8))


def _pack_buffer(builder: Any, data: Any) -> int:
    api = schema()
    builder.Prep(ALIGNMENT, data.size)
    vector = builder.CreateNumpyVector(data)
    api.BufferStart(builder)
    api.BufferAddData(builder, vector)
    return int(api.BufferEnd(builder))


class _Model:
    """The structure of a file as the schema's objects."""

    def __init__(
        self, operations: Operations, values: Sequence[Value], metadata: bytes | None
    ) -> None:
        self.operations, self.values, self.metadata = operations, values, metadata
        self.places = {value.name: index for index, value in enumerate(values)}

    def pack(self, constants: Sequence[Any], room: int = 0) -> memoryview:
        """The flatbuffer with these buffers.

        Args:
            constants: buffers of the values with data, in their order.
            room: bytes that they take inside of it.
        """
        api = schema()
        model = api.ModelT()
        model.version, model.description = VERSION, "edgekit"
        # The first buffer is that of all tensors without data.
        model.buffers = [api.BufferT(), *constants]
        model.metadata = []
        if self.metadata is not None:
            entry = api.MetadataT()
            entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
            model.metadata.append(entry)
            model.buffers.append(_Raw(self.metadata))
        codes: dict[tuple[str, int], int] = {}
        for step in self.operations.steps:
            codes.setdefault((step.operator, step.version), len(codes))
        model.operatorCodes = [_code(*key) for key in codes]
        model.subgraphs = [self._subgraph(codes)]
        model.signatureDefs = [self._signature()]
        builder = flatbuffers.Builder(room + self._structure_bytes())
        builder.Finish(model.Pack(builder), MAGIC)
        return memoryview(builder.Bytes)[builder.Head() :]

    def _structure_bytes(self) -> int:
        """At least what the structure takes: growing would hold the file twice."""
        scales = sum(len(value.params.scale) for value in self.values if value.params)
        names = sum(len(value.name) for value in self.values)
        tables = 160 * (len(self.values) + len(self.operations.steps))
        return 4096 + 12 * scales + names + tables + len(self.metadata or b"")

    def _subgraph(self, codes: dict[tuple[str, int], int]) -> Any:
        graph = schema().SubGraphT()
        graph.name = "main"
        buffers = iter(range(1, len(self.values) + 1))
        graph.tensors = [
            _tensor(value, 0 if value.data is None else next(buffers)) for value in self.values
        ]
        graph.operators = [self._operator(step, codes) for step in self.operations.steps]
        graph.inputs = [self.places[self.operations.source.name]]
        graph.outputs = [self.places[value.name] for value in self.operations.results.values()]
        return graph

    def _operator(self, step: Operation, codes: dict[tuple[str, int], int]) -> Any:
        api = schema()
        operator = api.OperatorT()
        operator.opcodeIndex = codes[step.operator, step.version]
        operator.inputs = [self.places[value.name] for value in step.inputs]
        operator.outputs = [self.places[value.name] for value in step.outputs]
        if isinstance(step.options, bytes):
            operator.customOptions = np.frombuffer(step.options, np.uint8)
        elif step.options is not None:
            kind = type(step.options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(api.BuiltinOptions, kind)
            operator.builtinOptions = step.options
        return operator

    def _signature(self) -> Any:
        api = schema()
        signature = api.SignatureDefT()
        signature.signatureKey = SIGNATURE
        signature.inputs = [self._entry(SIGNATURE_INPUT, self.operations.source)]
        # Those of the network, whatever the types of the file's ends.
        results = self.operations.results.items()
        signature.outputs = [self._entry(name, value) for name, value in results]
        return signature

    def _entry(self, name: str, value: Value) -> Any:
        entry = schema().TensorMapT()
        entry.name, entry.tensorIndex = name, self.places[value.name]
        return entry


def _code(operator: str, version: int) -> Any:
    code = schema().OperatorCodeT()
    code.builtinCode = getattr(schema().BuiltinOperator, operator, schema().BuiltinOperator.CUSTOM)
    if code.builtinCode == schema().BuiltinOperator.CUSTOM:
        code.customCode = operator
    # Readers older than the second field know the codes up to 127 alone.
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code


def _tensor(value: Value, buffer: int) -> Any:
    tensor = schema().TensorT()
    tensor.name, tensor.shape, tensor.buffer = value.name, list(value.shape), buffer
    tensor.type = getattr(schema().TensorType, value.dtype.upper())
    tensor.hasRank = True
    if value.params is not None:
        tensor.quantization = _quantization(value.params, value.axis)
    return tensor


def _quantization(params: QuantParams, axis: int) -> Any:
    quantization = schema().QuantizationParametersT()
    quantization.scale = np.array(params.scale, np.float32)
    quantization.zeroPoint = np.array(params.zero_point, np.int64)
    quantization.quantizedDimension = axis if params.axis is not None else 0
    return quantization
