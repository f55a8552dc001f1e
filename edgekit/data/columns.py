"""Long columns of short values, packed: a million names take tens of megabytes, not hundreds."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
_SEPARATOR = "\0"  # which no path has


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
        self._contents, self._ends = contents, ends

    @classmethod
    def pack(cls, texts: Iterable[str]) -> Texts:
        """Packs texts."""
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return cls(b"".join(encoded), np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self._ends)

    def at(self, index: int) -> str:
        """See `Column`."""
        start = int(self._ends[index - 1]) if index else 0
        return self._contents[start : int(self._ends[index])].decode()

    def take(self, indices: npt.NDArray[np.int64]) -> Texts:
        """See `Column`."""
        ends, contents = self._ends.tolist(), self._contents
        starts = [0, *ends]
        chosen = [contents[starts[i] : ends[i]] for i in indices.tolist()]
        lengths = np.fromiter(map(len, chosen), np.int64, len(chosen))
        return Texts(b"".join(chosen), np.cumsum(lengths))

    def to_json(self) -> str:
        """Returns all of them as one text."""
        return _SEPARATOR.join(self)

    @classmethod
    def from_json(cls, value: Any) -> Texts:
        """Reads what `to_json` wrote, or a list of texts."""
        if isinstance(value, str):
            value = value.split(_SEPARATOR) if value else []
        return cls.pack(value)


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
