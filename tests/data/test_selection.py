"""Which photos of a list are taken; what depends on names is in test_splits.py."""

import hashlib

import numpy as np
import pytest

from edgekit.data.columns import Texts
from edgekit.data.selection import evenly, spread


@pytest.mark.parametrize(
    ("length", "count", "wanted"),
    [
        (5, 5, [0, 1, 2, 3, 4]),
        (3, 10, [0, 1, 2]),
        (199, 100, [*range(0, 199, 2)]),
        (9, 3, [0, 4, 8]),
        (7, 1, [0]),
        (0, 4, []),
    ],
)
def test_photos_are_taken_from_the_whole_list(length, count, wanted):
    chosen = evenly(length, count)
    assert chosen == wanted
    assert len(set(chosen)) == len(chosen)


def hash_of(name):
    return hashlib.sha256(f"3\0{name}".encode()).digest()


@pytest.mark.parametrize("pack", [list, Texts.pack])
@pytest.mark.parametrize("names", [[f"{k}ü" for k in range(50)], ["alike"] * 50])
def test_classes_take_turns_in_the_order_of_hashes(names, pack):
    labels = np.arange(50) % 7 - 1
    chosen = spread(pack(names), labels, 10, seed=3)
    assert chosen == sorted(chosen)
    taken = labels[chosen].tolist()
    assert {taken.count(label) for label in range(-1, 6)} == {1, 2}
    for label in range(-1, 6):
        members = [k for k in range(50) if labels[k] == label]
        first = sorted(members, key=lambda k: hash_of(names[k]))[: taken.count(label)]
        assert sorted(first) == [k for k in chosen if labels[k] == label]
