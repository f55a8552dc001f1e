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
