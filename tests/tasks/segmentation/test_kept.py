"""Of maps their classes are kept, and a grid of their logits."""

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.tasks.segmentation.kept import class_count, classes_of, has_logits, keep, resize


def maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


def test_logits_become_classes_and_every_fourth_pixel():
    outputs = maps(3, 16, 12, 5)
    kept = keep(outputs)
    assert kept.shape == (3,)
    assert np.array_equal(classes_of(kept), outputs.argmax(3))
    grid = outputs[:, 2::4, 2::4]
    assert kept["logits"].shape == (3, 4, 3, 5)
    shifted = grid - grid.max(3, keepdims=True)
    np.testing.assert_allclose(kept["logits"], shifted, rtol=1e-3)
    assert outputs.nbytes > 5 * kept.nbytes
    assert keep(kept) is kept


@pytest.mark.parametrize("shape", [(2, 6, 7), (2, 6, 7, 1)])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32])
def test_a_file_that_ends_with_classes_has_no_logits(shape, dtype):
    classes = np.arange(84).reshape(2, 6, 7) % 5
    kept = keep(classes.reshape(shape).astype(dtype))
    assert np.array_equal(classes_of(kept), classes)
    assert not has_logits(kept)
    assert class_count(kept) == 5
    assert class_count(kept, keep(maps(2, 6, 7, 9))) == 9
    assert class_count(kept, np.full((2, 6, 7), 255, np.uint8)) == 5


def test_kept_maps_are_saved_joined_and_indexed_by_photo(tmp_path):
    whole = keep(maps(4, 8, 8, 3))
    np.save(tmp_path / "kept.npy", whole, allow_pickle=False)
    assert np.array_equal(np.load(tmp_path / "kept.npy", allow_pickle=False), whole)
    assert np.array_equal(np.concatenate([whole[:1], whole[1:]]), whole)
    assert np.array_equal(whole[np.array([2, 0])]["classes"], whole["classes"][[2, 0]])


def test_far_logits_stay_finite_and_what_is_no_number_stays_so():
    outputs = np.zeros((1, 4, 4, 2), np.float32)
    outputs[..., 1] = 1e30
    assert np.isfinite(keep(outputs)["logits"]).all()
    outputs[..., 1] = np.inf
    assert np.isnan(keep(outputs)["logits"]).any()


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        (np.zeros((2, 7)), "not maps"),
        (np.zeros((1, 2, 2, 256), np.float32), "256 classes are too many"),
        (np.full((1, 2, 2), 255), "classes 255 to 255"),
        (np.full((1, 2, 2), -1), "classes -1"),
    ],
)
def test_what_cannot_be_kept_is_refused(outputs, text):
    with pytest.raises(UsageError, match=text):
        keep(outputs)


def test_maps_are_resized_by_the_nearest_pixel():
    classes = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert np.array_equal(resize(classes, 2, 3), classes)
    assert np.array_equal(resize(classes, 4, 6), classes.repeat(2, 1).repeat(2, 2))
    assert resize(classes, 1, 1).tolist() == [[[4]]]
    assert resize(classes[:0], 4, 4).shape == (0, 4, 4)
