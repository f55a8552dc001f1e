"""What is kept of outputs is enough for all figures, and saved like any array."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.data.boxes.anchors import Anchors
from edgekit.errors import UsageError
from edgekit.tasks.detection.kept import class_count, detect, find_centers, keep

ANCHORS = Anchors()
SIDE = 64
COUNT = ANCHORS.count(SIDE, SIDE)
RECORD = SimpleNamespace(anchors=ANCHORS, resolution=SIDE, labels=("a", "b", "c"))


def outputs(photos=2, seed=0, classes=3):
    found = np.random.default_rng(seed).normal(size=(photos, COUNT, 4 + classes))
    found[..., 4:] -= 4
    return found.astype(np.float32)


def test_detections_peaks_and_classes_are_kept(tmp_path):
    whole = outputs()
    found = keep(whole, RECORD)
    centers = find_centers(ANCHORS, COUNT)
    assert np.array_equal(found["detections"][1], detect(whole[1], centers))
    assert found["peaks"] == pytest.approx(whole[..., 4:].max(2), abs=0.01)
    assert found["tops"] == pytest.approx(whole[..., 4:].max(1), abs=0.01)
    assert class_count(found) == 3
    assert keep(found) is found
    np.save(tmp_path / "kept.npy", found, allow_pickle=False)
    again = np.load(tmp_path / "kept.npy", allow_pickle=False)
    assert np.array_equal(again["detections"], found["detections"])
    assert np.array_equal(np.concatenate([again, found])[2]["peaks"], found[0]["peaks"])


def test_the_best_detection_comes_first_and_scores_are_probabilities():
    found = keep(outputs(), RECORD)["detections"]
    assert (np.diff(found[:, :, 4]) <= 0).all()
    assert ((found[:, :, 4] > 0) & (found[:, :, 4] < 1)).all()


def test_where_too_many_peaks_would_be_kept_each_kth_is():
    whole = outputs(1)
    found = keep(whole, RECORD, most_peaks=COUNT // 3 - 1)
    assert found["peaks"].shape == (1, -(-COUNT // 4))
    assert found["peaks"][0] == pytest.approx(whole[0, ::4, 4:].max(1), abs=0.01)


def test_a_broken_output_shows_in_the_peaks_and_is_no_detection():
    whole = outputs(1)
    whole[0, 5, 4:] = np.nan
    whole[0, 6, :4], whole[0, 6, 4:] = np.inf, 50
    found = keep(whole, RECORD)
    assert np.isnan(found["peaks"][0, 5])
    assert np.isfinite(found["detections"]).all()
    assert found["detections"][0, 0, 4] < 1


def test_detections_of_a_file_are_kept_as_they_are():
    rows = keep(outputs(), RECORD)["detections"][:, :25]
    found = keep(rows, RECORD)
    assert np.array_equal(found["detections"][:, :25], rows)
    assert not found["detections"][:, 25:].any()
    assert class_count(found) == 3
    assert found["peaks"].shape == (2, 0)


def test_two_classes_are_not_taken_for_detections():
    found = keep(outputs(classes=2), RECORD)
    assert found["peaks"].shape == (2, COUNT)


@pytest.mark.parametrize(
    ("values", "record", "said"),
    [
        (outputs()[0], RECORD, "are not boxes and their classes"),
        (outputs()[..., :4], RECORD, "are not boxes and their classes"),
        (outputs(), None, "nothing says what the boxes are relative to"),
        (outputs()[:, :-9], RECORD, f"outputs of {COUNT - 9} anchors"),
    ],
)
def test_other_outputs_are_refused(values, record, said):
    with pytest.raises(UsageError, match=said):
        keep(values, record)
