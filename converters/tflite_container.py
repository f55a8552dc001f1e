"""The outside of a .tflite file: a root with metadata before the model, a zip archive behind it."""

from __future__ import annotations

import io
import zipfile
import zlib
from lzma import LZMAError
from typing import Any

import flatbuffers

from edgekit.converters import tflite_file
from edgekit.converters.tflite_file import METADATA_NAME
from edgekit.errors import UsageError

LARGEST = 16 << 20  # bytes that are read of the files behind a foreign model
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: equal runs, equal bytes


def attach(model: bytes, metadata: bytes) -> bytes:
    """Puts a new root with the metadata in front of the flatbuffer ``model``.

    Offsets in a flatbuffer only point forward, so a new root before the old bytes can refer to
    everything in them: the converter's bytes, and with them the alignment of the weights, stay
    as they are. (Unpacking and packing again would lose the alignment.)
    """
    schema = tflite_file.schema()
    model += bytes(-len(model) % 16)
    root = schema.Model.GetRootAs(model, 0)
    builder = flatbuffers.Builder(len(model) + len(metadata) + 65536)
    builder.CreateByteVector(model)

    def moved(position: int) -> int:
        return len(model) - position  # flatbuffers counts a position from the end

    builder.Prep(16, len(metadata))  # buffers are aligned to 16 bytes, and so is the old part
    vector = builder.CreateByteVector(metadata)
    schema.BufferStart(builder)
    schema.BufferAddData(builder, vector)
    buffer = schema.BufferEnd(builder)

    buffers = [moved(root.Buffers(i)._tab.Pos) for i in range(root.BuffersLength())]
    entries = [root.Metadata(i) for i in range(root.MetadataLength())]
    kept = [moved(entry._tab.Pos) for entry in entries if entry.Name() != METADATA_NAME.encode()]
    name = builder.CreateString(METADATA_NAME)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, name)
    schema.MetadataAddBuffer(builder, len(buffers))
    kept.append(schema.MetadataEnd(builder))
    vectors = {4: _offsets(builder, [*buffers, buffer]), 6: _offsets(builder, kept)}

    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, root.Version())
    for slot in range(1, 10):
        offset = root._tab.Offset(4 + 2 * slot)
        if slot in vectors:
            builder.PrependUOffsetTRelativeSlot(slot, vectors[slot], 0)
        elif offset:
            target = moved(root._tab.Indirect(root._tab.Pos + offset))
            builder.PrependUOffsetTRelativeSlot(slot, target, 0)
    builder.Finish(schema.ModelEnd(builder), tflite_file.MAGIC)
    return bytes(builder.Output())


def _offsets(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def pack(model: bytes, files: dict[str, bytes]) -> bytes:
    """Appends files as a zip archive, or adds them to the one that is there."""
    out = io.BytesIO(model)
    with zipfile.ZipFile(out, "a") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # on every host alike
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return out.getvalue()


#: What a damaged archive may raise; a crafted one may ask LZMA for 4 GB.
_DAMAGED = (
    zipfile.BadZipFile,
    EOFError,
    LZMAError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
    zlib.error,
)


def unpack(data: bytes) -> dict[str, bytes]:
    """The files packed behind a model; none larger together than a sane model's would be."""
    files: dict[str, bytes] = {}
    room = LARGEST
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                with archive.open(info) as file:
                    files[info.filename] = file.read(room + 1)
                room -= len(files[info.filename])
                if room < 0:
                    raise UsageError("the files behind the model are too large")
    except _DAMAGED as error:
        if zipfile.is_zipfile(io.BytesIO(data)):
            raise UsageError("the files behind the model are damaged", cause=str(error)) from error
    return files


def copy_files(source: bytes, compiled: bytes) -> bytes:
    """Returns ``compiled`` with the files packed behind ``source`` that it has lost.

    A target's compiler writes the model anew and may drop what lay behind it; a file that is
    still there is left as it is.
    """
    missing = {k: v for k, v in unpack(source).items() if k not in unpack(compiled)}
    return pack(compiled, missing) if missing else compiled


def flatbuffer_size(data: bytes) -> int:
    """Where the model ends and the zip archive behind it, if there is one, begins."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return min((info.header_offset for info in archive.infolist()), default=len(data))
    except zipfile.BadZipFile:
        return len(data)
