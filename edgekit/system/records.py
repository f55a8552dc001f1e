"""JSON that others have written, read as records: dataclasses, or structs of msgspec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import msgspec

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

Record = TypeVar("Record")


def decode_record(data: bytes | str, kind: type[Record]) -> Record:
    """Reads JSON; fields that the record lacks are left out.

    What Python's own reader takes is taken as well: NaN and infinity, which Python programs write,
    and UTF-16 or a byte order mark.

    Args:
        data: the text.
        kind: the record's type.

    Raises:
        ValueError: it is no JSON; the message has the line and the column. As
            `msgspec.ValidationError`, it has another type: the message has the place, such as
            ``$.annotations[3].bbox``.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return msgspec.convert(json.loads(data), kind, str_keys=True)
    except RecursionError as error:  # a million brackets
        raise ValueError(str(error)) from error


def load_record(path: StrPath, kind: type[Record], refusal: str, hint: str | None = None) -> Record:
    """Reads a file of JSON.

    Args:
        path: of the file.
        kind: the record's type.
        refusal: what is said of a file that holds no such record, after its name.
        hint: what to do about that.

    Raises:
        UsageError: it cannot be read, is no JSON, or has another type.
    """
    path = Path(path)
    try:
        return decode_record(path.read_bytes(), kind)
    except OSError as error:
        raise UsageError(f"cannot read {path}", cause=error.strerror, hint=hint) from error
    except ValueError as error:
        raise UsageError(f"{path} {refusal}", cause=str(error)[:300], hint=hint) from error
