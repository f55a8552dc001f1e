"""Writes what an `edgetpu-custom-op` holds, so that a test can break one thing in it."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from flatbuffers import number_types as n
from tiny_tflite import TinyModel, schema

STAND_ALONE, CACHING, EXECUTION = 0, 1, 2


def write(fields: dict[int, Any]) -> bytes:
    """A flatbuffer of one table: fields by id, as numbers with their flags, bytes or tables."""
    builder = flatbuffers.Builder(256)
    builder.Finish(_table(builder, fields))
    return bytes(builder.Output())


def _table(builder: Any, fields: dict[int, Any]) -> int:
    children = {
        field: _child(builder, value)
        for field, value in fields.items()
        if not isinstance(value, tuple)
    }
    builder.StartObject(20)
    for field, value in fields.items():
        if field in children:
            builder.PrependUOffsetTRelativeSlot(field, children[field], 0)
        else:
            flags, number = value
            builder.PrependSlot(flags, field, number, 0)
    return int(builder.EndObject())


def _child(builder: Any, value: Any) -> int:
    if isinstance(value, bytes):
        return int(builder.CreateByteVector(value))
    if isinstance(value, dict):
        return _table(builder, value)
    written = {id(item): _child(builder, item) for item in {id(i): i for i in value}.values()}
    offsets = [written[id(item)] for item in value]  # one item listed twice is written once
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def layer(name: str = "in", size: int = 192, kind: int = 8) -> dict[int, Any]:
    numerics = {0: (n.Int32Flags, 127), 1: (n.Float32Flags, 0.5)}
    shape = {2: (n.Int32Flags, 8), 3: (n.Int32Flags, 7), 4: (n.Int32Flags, 3)}
    sizes = {1: (n.Int32Flags, size), 6: (n.Int16Flags, kind)}
    return {0: name.encode(), 5: numerics, **shape, **sizes}


def executable(kind: int, parameters: int, **changes: Any) -> bytes:
    """A serialized executable; `changes` are other fields, as `f14=...`."""
    fields = {
        1: b"model",
        3: (n.Int32Flags, 1),
        4: (n.Int32Flags, 40 * (kind != CACHING)),
        5: [{0: bytes(50)}, {0: bytes(10)}],
        6: bytes(parameters),
        8: [] if kind == CACHING else [layer("in")],
        9: [] if kind == CACHING else [layer("out", 16, 0), layer("more", 8, 9)],
        10: b"beagle",
        13: (n.Int16Flags, kind),
        14: (n.Uint64Flags, 0 if kind == STAND_ALONE else 2**63 + 5),
    }
    fields.update({int(name[1:]): value for name, value in changes.items()})
    return write(fields)


def package(*executables: bytes, **changes: Any) -> bytes:
    """A serialized package; `changes` are other fields, as `f0=...`."""
    fields = {
        0: (n.Int32Flags, 13),
        1: write({0: list(executables)}),
        4: b"cl/343520747",
        7: b"mine",
    }
    fields.update({int(name[1:]): value for name, value in changes.items()})
    return write(fields)


class _Raw(bytes):
    """Bytes that a flexbuffer's writer takes for text."""

    def encode(self, *_: Any) -> bytes:
        return self


def options(content: Any, key: str = "4") -> bytes:
    """The custom options: the map around a package."""
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("1", 0)
        if isinstance(content, bytes):
            builder.String(key, _Raw(content))
        else:
            builder.Int(key, content)
        builder.Int("5", -1)
        builder.VectorFromElements("6", [18])
    return bytes(builder.Finish())


def usual(cached: int = 600, streamed: int = 48) -> bytes:
    """The custom options of a model whose parameters do not all fit."""
    return options(package(executable(EXECUTION, streamed), executable(CACHING, cached)))


def compiled(content: bytes | None = None) -> TinyModel:
    """The tiny model, its sigmoid replaced by an `edgetpu-custom-op`."""
    tiny = TinyModel()
    code, operator = tiny.code("LOGISTIC"), tiny.op("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"
    operator.customOptions = np.frombuffer(usual() if content is None else content, np.uint8)
    return tiny
