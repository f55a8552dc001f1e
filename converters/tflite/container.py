"""The zip archive behind the model in a .tflite file."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from lzma import LZMAError
from typing import BinaryIO

from edgekit.errors import UsageError

LARGEST = 16 << 20  # bytes that are read of the files behind a foreign model
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: equal runs, equal bytes


def append(stream: BinaryIO, files: Mapping[str, bytes]) -> None:
    """Writes files as a zip archive behind a model, or adds them to the one that is there.

    Args:
        stream: binary, to read and write.
        files: by name.
    """
    with zipfile.ZipFile(stream, "a") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # on every host alike
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)


def pack(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """As `append`, for a model in memory."""
    out = io.BytesIO(model)
    append(out, files)
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
