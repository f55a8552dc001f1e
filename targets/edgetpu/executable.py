"""Reads what the Edge TPU compiler has put into an ``edgetpu-custom-op``.

The operator's custom options are a flexbuffer map (google-coral/libedgetpu,
tflite/custom_op_data.cc) with a flatbuffer "Package" as a string under the key "4". The package
holds a serialized "MultiExecutable", and that one to three serialized executables, at most one of
a kind (executable/executable.fbs, driver/package_registry.cc):

* parameter-caching: run once; it writes parameters into the chip's memory, where they stay;
* execution-only: run for every inference; it brings the parameters that are not cached;
* stand-alone: run for every inference; it brings all parameters.

What nine compiled files show (of libedgetpu's test data mobilenet_v1_0.25_128, deeplabv3_mnv2_dm05,
keras_lstm_mnist, posenet_353_481 and split_concat; of libredgetpu dense_256, looming_64x64 and
gabor_64x64; tcn_dilated; runtime 12 to 14, chip "beagle"): each has one package of one
parameter-caching and one execution-only executable with the same token, as Coral's documentation
says of a model that fits. All but two stream nothing: the LSTM caches 43,968 bytes and streams 576,
tcn_dilated caches 1,536 and streams the 1,510,464 of its fully connected layer. No scratch is used
but the LSTM's 672 bytes, and no file states its cycles. Cached plus streamed bytes are those of the
source's weights and biases in the chip's layout (`edgekit.targets.edgetpu.memory.Kernel`), and of
some operators without weights: 192 for split_concat. Both executables carry instructions, which is
most of a small compiled file.

The bytes are untrusted: whatever they hold, :func:`read_package` ends in a :class:`Package` or in
a :class:`UsageError`, and takes no more time and memory than their number accounts for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from flatbuffers import number_types
from flatbuffers.table import Table

from edgekit.errors import UsageError

BytesLike: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[np.uint8]

KINDS = ("stand-alone", "parameter-caching", "execution-only")  # ExecutableType, by value
_DTYPES = {  # DataType; "fixed point" without "signed" is an unsigned integer
    0: "uint8",
    1: "uint16",
    2: "int32",
    3: "bfloat16",
    4: "float16",
    5: "float32",
    8: "int8",
    9: "int16",
}
# The ids of the fields in use: their places in the tables of executable/executable.fbs.
_PACKAGE = {"runtime": 0, "executables": 1, "compiler": 4, "identifier": 7}
_MULTI_EXECUTABLE = {"executables": 0}
_EXECUTABLE = {
    "name": 1,
    "batch": 3,
    "scratch": 4,
    "bitstreams": 5,
    "parameters": 6,
    "inputs": 8,
    "outputs": 9,
    "chip": 10,
    "cycles_32": 11,
    "type": 13,
    "token": 14,
    "cycles_64": 16,
}
_BITSTREAM = {"bits": 0}
_LAYER = {"name": 0, "size": 1, "y": 2, "x": 3, "z": 4, "numerics": 5, "type": 6}
_NUMERICS = {"zero_point": 0, "scale": 1}

_MOST_KEYS = 16  # tflite/custom_op_data.cc knows 7
_MAP, _STRING = 9, 5  # types of a flexbuffer (google/flatbuffers, flexbuffers.h)
_MALFORMED = (struct.error, IndexError, ValueError, TypeError, OverflowError)


@dataclass(frozen=True)
class Layer:
    """An input or output of an executable.

    Attributes:
        shape: (y, x, z): rows, columns, channels.
        dtype: a numpy name, or "bfloat16".
        size_bytes: of a batch of 1, with the padding that the chip wants.
        zero_point: of the unsigned integer: for an int8 tensor 128 above the model's own, for an
            int16 tensor 32768 above it.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: str
    size_bytes: int
    zero_point: int
    scale: float


@dataclass(frozen=True)
class Executable:
    """A program for the Edge TPU.

    Attributes:
        kind: one of `KINDS`.
        chip: the code name of what it was compiled for; "beagle" is the Edge TPU.
        parameter_bytes: weights, biases and tables, as the chip takes them.
        instruction_bytes: sent with every run of it.
        scratch_bytes: host memory that it uses besides, for a batch of 1.
        estimated_cycles: the compiler's own estimate; None where it gives none.
        token: what executables that share the cache have in common; 0 where there is none.
    """

    kind: str
    name: str
    chip: str
    batch: int
    parameter_bytes: int
    instruction_bytes: int
    scratch_bytes: int
    estimated_cycles: int | None
    token: int
    inputs: tuple[Layer, ...]
    outputs: tuple[Layer, ...]


@dataclass(frozen=True)
class Package:
    """What one ``edgetpu-custom-op`` holds.

    Attributes:
        min_runtime_version: the oldest Edge TPU runtime that loads it, 10 to 14.
        compiler_version: the compiler's build ("cl/343520747"), not its release; empty where none
            is stated, as by the releases 16.0 and 2.1, which write "cl/" alone.
        model_identifier: mostly empty.
    """

    min_runtime_version: int
    compiler_version: str
    model_identifier: str
    executables: tuple[Executable, ...]

    @property
    def cached_bytes(self) -> int:
        """Bytes of parameters that are written into the chip's memory once."""
        return sum(e.parameter_bytes for e in self.executables if e.kind == "parameter-caching")

    @property
    def streamed_bytes(self) -> int:
        """Bytes of parameters that are transferred for every inference."""
        return sum(e.parameter_bytes for e in self.executables if e.kind != "parameter-caching")

    @property
    def caches(self) -> bool:
        """True when an executable keeps parameters in the chip's memory."""
        return any(e.kind == "parameter-caching" for e in self.executables)

    @property
    def token(self) -> int:
        """The parameter caching token, which models compiled together share; 0 without one."""
        return next((e.token for e in self.executables if e.kind == "parameter-caching"), 0)


def read_package(options: BytesLike) -> Package:
    """Decodes the custom options of an ``edgetpu-custom-op``; nothing in them is copied.

    Raises:
        UsageError: they hold no package, or a damaged one.
    """
    try:
        if not len(options):
            raise ValueError("it is empty")
        raw = options.data if isinstance(options, np.ndarray) else options
        data = memoryview(raw).cast("B")
        return _package(_string(data, b"4"), _Budget(data.nbytes))
    except _MALFORMED as error:
        raise UsageError(
            "the code for the Edge TPU in the model cannot be read",
            cause=str(error) or type(error).__name__,
            hint="compile the model again",
        ) from error


class _Budget:
    """Bytes that a reader may still list: in a crafted file, lists and strings may overlap.

    A byte of honest parameters lies in three vectors, one inside the other, hence 4 times.
    """

    def __init__(self, size: int) -> None:
        self.left = 4 * size

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise ValueError("its lists are longer than the bytes that hold them")
        return count


class _Table:
    """A table of a flatbuffer, read by the ids of its fields."""

    def __init__(self, data: memoryview, ids: dict[str, int], budget: _Budget, at: int) -> None:
        self.data, self.ids, self.budget = data, ids, budget
        self.table: Any = Table(data, at)

    @classmethod
    def root(cls, data: memoryview, ids: dict[str, int], budget: _Budget) -> _Table:
        return cls(data, ids, budget, _unsigned(data, 0, 4))

    def number(self, field: str, flags: Any = number_types.Int32Flags, default: Any = 0) -> Any:
        return self.table.GetSlot(4 + 2 * self.ids[field], default, flags)

    def bytes(self, field: str, width: int = 1) -> memoryview:
        """A vector's bytes, a string's among them; ``width`` is that of an element."""
        offset = self.table.Offset(4 + 2 * self.ids[field])
        if not offset:
            return self.data[:0]
        start = self.table.Vector(offset)
        size = self.budget.take(self.table.VectorLen(offset) * width)
        if start + size > len(self.data):
            raise ValueError(f"the field '{field}' ends behind the data")
        return self.data[start : start + size]

    def text(self, field: str) -> str:
        return str(self.bytes(field), "utf-8", "replace")

    def positions(self, field: str) -> list[int]:
        """Where the elements of a vector of offsets begin."""
        offsets = np.frombuffer(self.bytes(field, 4), "<u4").tolist()
        if not offsets:
            return []
        first = self.table.Vector(self.table.Offset(4 + 2 * self.ids[field]))
        self.budget.take(32 * len(offsets))  # what a table takes at least, or nearly so
        return [first + 4 * i + offset for i, offset in enumerate(offsets)]

    def tables(self, field: str, ids: dict[str, int]) -> list[_Table]:
        return [_Table(self.data, ids, self.budget, at) for at in self.positions(field)]

    def child(self, field: str, ids: dict[str, int]) -> _Table | None:
        offset = self.table.Offset(4 + 2 * self.ids[field])
        if not offset:
            return None
        return _Table(self.data, ids, self.budget, self.table.Indirect(self.table.Pos + offset))


def _package(data: memoryview, budget: _Budget) -> Package:
    root = _Table.root(data, _PACKAGE, budget)
    inside = _Table.root(root.bytes("executables"), _MULTI_EXECUTABLE, budget)
    positions = inside.positions("executables")
    if not 1 <= len(positions) <= len(KINDS):
        raise ValueError(f"a package of {len(positions)} executables")
    found = [_executable(_vector(inside.data, at, budget), budget) for at in positions]
    if len({executable.kind for executable in found}) < len(found):
        raise ValueError("a package with two executables of a kind")
    return Package(
        min_runtime_version=root.number("runtime"),
        compiler_version=_build(root.text("compiler")),
        model_identifier=root.text("identifier"),
        executables=tuple(found),
    )


def _build(stated: str) -> str:
    """The compiler's build; "cl/" is the prefix of one that is not stated."""
    return stated if stated.removeprefix("cl/") else ""


def _executable(data: memoryview, budget: _Budget) -> Executable:
    root = _Table.root(data, _EXECUTABLE, budget)
    kind = root.number("type", number_types.Int16Flags)
    if not 0 <= kind < len(KINDS):
        raise ValueError(f"an executable of the unknown type {kind}")
    cycles = root.number("cycles_64", number_types.Int64Flags) or root.number("cycles_32")
    bitstreams = root.tables("bitstreams", _BITSTREAM)
    return Executable(
        kind=KINDS[kind],
        name=root.text("name"),
        chip=root.text("chip"),
        batch=root.number("batch"),
        parameter_bytes=len(root.bytes("parameters")),
        instruction_bytes=sum(len(stream.bytes("bits")) for stream in bitstreams),
        scratch_bytes=root.number("scratch"),
        estimated_cycles=cycles or None,
        token=root.number("token", number_types.Uint64Flags),
        inputs=tuple(_layer(table) for table in root.tables("inputs", _LAYER)),
        outputs=tuple(_layer(table) for table in root.tables("outputs", _LAYER)),
    )


def _layer(table: _Table) -> Layer:
    numerics = table.child("numerics", _NUMERICS)
    kind = table.number("type", number_types.Int16Flags)
    return Layer(
        name=table.text("name"),
        shape=(table.number("y"), table.number("x"), table.number("z")),
        dtype=_DTYPES.get(kind, f"type_{kind}"),
        size_bytes=table.number("size"),
        zero_point=numerics.number("zero_point") if numerics else 0,
        scale=numerics.number("scale", number_types.Float32Flags, 0.0) if numerics else 0.0,
    )


def _unsigned(data: memoryview, at: int, width: int) -> int:
    if width not in (1, 2, 4, 8) or not 0 <= at <= len(data) - width:
        raise ValueError("an offset points out of the data")
    return int.from_bytes(data[at : at + width], "little")


def _vector(data: memoryview, at: int, budget: _Budget) -> memoryview:
    """The vector of bytes that begins with its size at ``at``."""
    size = budget.take(_unsigned(data, at, 4))
    if at + 4 + size > len(data):
        raise ValueError("a vector ends behind the data")
    return data[at + 4 : at + 4 + size]


def _string(data: memoryview, key: bytes) -> memoryview:
    """The string under ``key`` of the map that a flexbuffer holds.

    A flexbuffer is read from its end: the width of the root, its type, its value. Offsets point
    backwards, sizes stand in front of what they count, and a type's lower two bits say how wide
    the numbers of the thing are (google/flatbuffers, docs/source/internals.md).
    """
    width = data[-1] if len(data) > 2 else 0
    kind, at = data[-2] if width else 0, len(data) - 2 - width
    if kind >> 2 != _MAP:
        raise ValueError("the custom options are no map")
    at -= _unsigned(data, at, width)
    width = 1 << (kind & 3)
    count = _unsigned(data, at - width, width)
    if count > _MOST_KEYS:
        raise ValueError(f"the custom options are a map of {count} keys")
    keys_width = _unsigned(data, at - 2 * width, width)
    keys = at - 3 * width - _unsigned(data, at - 3 * width, width)
    for i in range(count):
        place = keys + i * keys_width
        name = place - _unsigned(data, place, keys_width)
        if name >= 0 and data[name : name + len(key) + 1] == key + b"\0":
            return _string_at(data, at + i * width, width, data[at + count * width + i])
    raise ValueError(f"the custom options have no key '{key.decode()}'")


def _string_at(data: memoryview, place: int, width: int, kind: int) -> memoryview:
    if kind >> 2 != _STRING:
        raise ValueError("the package is no string")
    start, width = place - _unsigned(data, place, width), 1 << (kind & 3)
    size = _unsigned(data, start - width, width)
    if start + size > len(data):
        raise ValueError("the package ends behind the data")
    return data[start : start + size]
