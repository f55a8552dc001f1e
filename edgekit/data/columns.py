"""Long columns of short values, packed: a million names take tens of megabytes, not hundreds."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
_SEPARATOR = "\0"  # which no path has
_AT_ONCE = 1 << 16  # values of a column that are unpacked at once


class Column(Sequence[T], Generic[T]):
    """A packed column; it equals any sequence of the same values."""

    def at(self, index: int) -> T:
        """Returns a value; ``index`` is at least 0 and below the length."""
        raise NotImplementedError

    def take(self, indices: npt.NDArray[np.int64]) -> Column[T]:
        """Returns the values at these indices, in this order, packed as well."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self.at(i) for i in range(*index.indices(len(self))))
        return self.at(range(len(self))[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class Texts(Column[str]):
    """Texts, as their bytes in UTF-8.

    Args:
        contents: of all of them.
        ends: where each ends, int64 [n].
    """

    def __init__(self, contents: bytes, ends: npt.NDArray[np.int64]) -> None:
        self.contents, self.ends = contents, ends

    @classmethod
    def pack(cls, texts: Iterable[str]) -> Texts:
        """Packs texts."""
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return cls(b"".join(encoded), np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.ends)

    def at(self, index: int) -> str:
        """See `Column`."""
        start = int(self.ends[index - 1]) if index else 0
        return self.contents[start : int(self.ends[index])].decode()

    def __iter__(self) -> Iterator[str]:
        return map(bytes.decode, self.encoded())

    def encoded(self, lengths: npt.NDArray[np.int64] | None = None) -> Iterator[bytes]:
        """Yields the bytes of each, or the first ``lengths`` bytes of each, int64 [n]."""
        starts, contents = self._starts(), self.contents
        ends = self.ends if lengths is None else starts + lengths
        for first in range(0, len(ends), _AT_ONCE):
            places = (column[first : first + _AT_ONCE].tolist() for column in (starts, ends))
            yield from [contents[start:end] for start, end in zip(*places, strict=True)]

    def take(self, indices: npt.NDArray[np.int64]) -> Texts:
        """See `Column`."""
        contents = np.frombuffer(self.contents, np.uint8)
        lengths = np.diff(self.ends, prepend=0)[indices]
        ends = np.cumsum(lengths)
        shift = self._starts()[indices] - (ends - lengths)  # of each text's bytes
        parts = []
        for first in range(0, len(indices), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            moved = np.repeat(shift[part], lengths[part])
            start = int(ends[first] - lengths[first])
            parts.append(contents[moved + np.arange(start, start + len(moved))].tobytes())
        return Texts(b"".join(parts), ends)

    def _starts(self) -> npt.NDArray[np.int64]:
        return np.concatenate([np.zeros(1, np.int64), self.ends])[:-1]

    @classmethod
    def concatenate(cls, parts: Sequence[Texts]) -> Texts:
        """Returns the texts of all parts."""
        lengths = [np.diff(part.ends, prepend=0) for part in parts]
        joined = np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))
        return cls(b"".join(part.contents for part in parts), joined)

    def to_json(self) -> str:
        """Returns all of them as one text."""
        return _SEPARATOR.encode().join(self.encoded()).decode()

    @classmethod
    def from_json(cls, value: Any) -> Texts:
        """Reads what `to_json` wrote, or a list of texts."""
        if not isinstance(value, str):
            return cls.pack(value)
        if not value:
            return cls.pack(())
        written = np.frombuffer(f"{value}{_SEPARATOR}".encode(), np.uint8)
        separators = np.flatnonzero(written == ord(_SEPARATOR))
        contents: bytes = written[written != ord(_SEPARATOR)].tobytes()
        return cls(contents, separators - np.arange(len(separators)))


class Digests(Column[str]):
    """SHA-256 in hex, as bytes; empty texts are none.

    Args:
        rows: uint8 [n, 32].
    """

    def __init__(self, rows: npt.NDArray[np.uint8]) -> None:
        self._rows = rows

    @classmethod
    def from_json(cls, value: Any) -> Digests:
        """Reads what `to_json` wrote, or packs texts of 64 digits."""
        text = value if isinstance(value, str) else "".join(value)
        return cls(np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 32))

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, index: int) -> str:
        """See `Column`."""
        row: bytes = self._rows[index].tobytes()
        return row.hex()

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self._rows), _AT_ONCE):
            part: bytes = self._rows[first : first + _AT_ONCE].tobytes()
            yield from (part[start : start + 32].hex() for start in range(0, len(part), 32))

    def is_among(self, others: Digests) -> npt.NDArray[np.bool_]:
        """Returns of each whether it is one of the others, bool [n]."""
        mine, its = self._beginnings(), others._beginnings()
        found: npt.NDArray[np.bool_] = np.isin(mine, its)
        likely = np.flatnonzero(found)  # two may begin alike
        rows = {row.tobytes() for row in others._rows[np.isin(its, mine[likely])]}
        found[likely] = [row.tobytes() in rows for row in self._rows[likely]]
        return found

    def _beginnings(self) -> npt.NDArray[np.int64]:
        return np.ascontiguousarray(self._rows[:, :8]).view(np.int64)[:, 0]

    def take(self, indices: npt.NDArray[np.int64]) -> Digests:
        """See `Column`."""
        return Digests(self._rows[indices])

    def to_json(self) -> str:
        """Returns all of them as one text."""
        rows: bytes = self._rows.tobytes()
        return rows.hex()


def integers_to_json(values: npt.NDArray[np.int64]) -> str:
    """Returns integers as the Base64 of their 8 bytes each, the lowest first."""
    return base64.b64encode(values.astype("<i8").tobytes()).decode()


def integers_from_json(value: Any) -> npt.NDArray[np.int64]:
    """Reads what `integers_to_json` wrote, or a list of integers."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value), "<i8").astype(np.int64)
    return np.array(value, np.int64)
