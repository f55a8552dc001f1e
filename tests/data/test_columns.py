"""Packed columns are what was packed, as sequences and as JSON."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from edgekit.data.columns import Digests, Texts, integers_from_json, integers_to_json

TEXTS = ("a/0.jpg", "", "é\n.jpg", "b")
HASHES = tuple(hashlib.sha256(text.encode()).hexdigest() for text in TEXTS)


@pytest.mark.parametrize(
    ("column", "values"), [(Texts.pack(TEXTS), TEXTS), (Digests.from_json(HASHES), HASHES)]
)
def test_a_column_is_a_sequence(column: Texts | Digests, values: tuple[str, ...]) -> None:
    assert column == values
    assert column != values[:3]
    assert column != tuple(reversed(values))
    assert (len(column), column[2], column[-1]) == (4, values[2], values[3])
    assert column[1:3] == values[1:3]
    assert column.index(values[3]) == 3
    assert column.take(np.array([3, 0, 0])) == [values[3], values[0], values[0]]
    assert column.take(np.array([], np.int64)) == ()
    with pytest.raises(IndexError):
        column[4]


@pytest.mark.parametrize("values", [TEXTS, ("x",), ()])
def test_texts_are_read_as_they_were_written(values: tuple[str, ...]) -> None:
    written = json.loads(json.dumps(Texts.pack(values).to_json()))
    assert Texts.from_json(written) == values
    assert Texts.from_json(list(values)) == values


@pytest.mark.parametrize("values", [HASHES, ()])
def test_digests_are_read_as_they_were_written(values: tuple[str, ...]) -> None:
    assert Digests.from_json(Digests.from_json(values).to_json()) == values


def test_integers_are_read_as_they_were_written() -> None:
    numbers = np.array([0, -1, 1 << 40])
    assert integers_from_json(integers_to_json(numbers)).tolist() == numbers.tolist()
    assert integers_from_json(numbers.tolist()).tolist() == numbers.tolist()


def test_texts_of_several_parts_and_their_beginnings() -> None:
    parts = [Texts.pack(TEXTS), Texts.pack(()), Texts.pack(("z",))]
    assert Texts.concatenate(parts) == (*TEXTS, "z")
    assert Texts.concatenate([]) == ()
    lengths = np.array([1, 0, 2, 1])
    assert list(parts[0].encoded(lengths)) == [b"a", b"", "é".encode(), b"b"]
    assert list(parts[0].encoded()) == [text.encode() for text in TEXTS]


def test_more_texts_than_are_unpacked_at_once() -> None:
    many = [str(number) for number in range(70_000)]
    column = Texts.pack(many)
    assert list(column) == many
    backwards = np.arange(70_000)[::-1]
    assert list(column.take(backwards)) == many[::-1]
    digests = Digests(np.arange(70_000 * 32, dtype=np.int64).astype(np.uint8).reshape(-1, 32))
    assert list(digests) == [digests.at(number) for number in range(70_000)]


def test_digests_are_found_among_others() -> None:
    alike = [HASHES[0][:16] + "0" * 48, HASHES[0][:62] + "00"]  # they begin as the first does
    mine = Digests.from_json([*HASHES, alike[0]])
    assert mine.is_among(Digests.from_json([HASHES[2], HASHES[0]])).tolist() == [
        *(True, False, True, False),
        False,
    ]
    assert mine.is_among(Digests.from_json(alike)).tolist() == [False] * 4 + [True]
    assert not mine.is_among(Digests.from_json(())).any()
    assert Digests.from_json(()).is_among(mine).tolist() == []
