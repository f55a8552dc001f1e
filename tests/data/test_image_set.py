"""Several sets as one: every photo, label and name in its place."""

import json

import numpy as np
import pytest

from edgekit.data.image_set import ConcatenatedPhotos
from edgekit.data.synthetic import SyntheticPhotos

SIDE = 32
TRAIN = SyntheticPhotos(5, 0, "train", SIDE)
VAL = SyntheticPhotos(12, 0, "val", SIDE)
NONE = VAL.subset([])
PARTS = (TRAIN, NONE, VAL, TRAIN)
#: Part and index of every photo of the whole.
PLACES = [(part, index) for part in PARTS for index in range(len(part))]


def joined(parts=PARTS):
    return ConcatenatedPhotos(tuple(parts))


def assert_are(photos, places):
    """The photos are those at the places, with their names and labels."""
    assert len(photos) == len(places)
    assert list(photos.names) == [part.names[index] for part, index in places]
    assert photos.labels.dtype == np.int64
    assert photos.labels.tolist() == [int(part.labels[index]) for part, index in places]
    for number, (part, index) in enumerate(places):
        assert photos.load(number).tobytes() == part.load(index).tobytes()


def test_parts_follow_one_another():
    assert_are(joined(), PLACES)


@pytest.mark.parametrize(
    "indices",
    [[0], [21], [4, 5], [16, 17, 3, 0, 20, 6, 6], list(range(21, -1, -1)), []],
    ids=str,
)
def test_a_subset_has_the_photos_asked_for_in_their_order(indices):
    assert_are(joined().subset(indices), [PLACES[index] for index in indices])


def test_a_subset_of_a_subset():
    inner = [20, 2, 9, 9]
    assert_are(joined().subset(inner).subset([3, 0]), [PLACES[9], PLACES[20]])


def test_a_run_of_one_set_is_one_part():
    assert [len(part) for part in joined().subset([0, 3, 1, 6, 7, 2]).parts] == [3, 2, 1]


def test_joined_sets_can_be_joined():
    assert_are(joined([joined(), VAL]), PLACES + [(VAL, index) for index in range(len(VAL))])


def test_a_photo_beyond_the_last_is_an_error():
    with pytest.raises(IndexError):
        joined().load(len(PLACES))


def test_shrinking_is_asked_of_the_part():
    class Asked:
        labels = np.zeros(1, np.int64)

        def __len__(self):
            return 1

        def load(self, index, shrink=None):
            return index, shrink

    assert joined([TRAIN, Asked()]).load(5, "shrink") == (0, "shrink")


def test_a_record_makes_the_same_set_again():
    record = json.loads(json.dumps(joined().to_dict()))
    again = ConcatenatedPhotos.from_dict(record, SyntheticPhotos.from_dict)
    assert_are(again, PLACES)
    assert again.digest() == joined().digest()


@pytest.mark.parametrize("parts", [(TRAIN,), (TRAIN, VAL), (VAL, TRAIN, TRAIN)], ids=len)
def test_other_photos_have_another_digest(parts):
    assert joined(parts).digest() != joined().digest()
    assert joined(parts).digest() == joined(parts).digest()
