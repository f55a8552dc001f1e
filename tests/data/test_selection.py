"""Which photos of a list are taken; what depends on names is in test_splits.py."""

import pytest

from edgekit.data.selection import evenly


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
