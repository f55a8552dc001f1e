"""Segmentation answers what the contract asks."""

import dataclasses

import numpy as np
import pytest
from narrow import narrow
from PIL import Image

from edgekit.data.masks.shapes import MaskedShapes
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Wanted
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.segmentation.decoders import UNet
from edgekit.tasks.segmentation.task import TASK

RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(0, 1, (3, 12, 12, 4)).astype(np.float32)
MASKS = RNG.integers(0, 4, (3, 12, 12)).astype(np.uint8)
BETTER = OUTPUTS + 2 * np.eye(4, dtype=np.float32)[MASKS]


def graph(classes=4):
    spec = dataclasses.replace(narrow("lite0"), decoder=UNet(channels=(8, 8, 8, 8, 8)))
    return build_graph(spec, classes=classes, resolution=32, seed=0)


def test_sums_of_parts_give_the_score_of_all():
    kept = TASK.keep(OUTPUTS)
    parts = [TASK.tally(kept[part], MASKS[part]) for part in (slice(0, 1), slice(1, 3))]
    whole = TASK.score([sum(sums) for sums in zip(*parts, strict=True)])
    assert whole == TASK.measure(kept, MASKS)["miou"]
    assert len(TASK.tally(kept[:0], MASKS[:0])) == 16  # a process without photos
    assert np.isnan(TASK.score((0.0,) * 16))


def test_a_row_has_the_metric_its_interval_and_the_paired_difference():
    figures = TASK.measure(OUTPUTS, MASKS, BETTER)
    before = TASK.measure(BETTER, MASKS)
    score, (low, high) = TASK.metric.value(figures), TASK.metric.interval(figures)
    assert low <= score <= high
    assert figures["drop_pp"] == pytest.approx(100 * (before["miou"] - score))
    assert 0 < figures["drop_se_pp"] < figures["drop_pp"]
    assert figures["classes_present"] == 4
    assert figures["kl"] == pytest.approx(TASK.compare(BETTER, OUTPUTS).kl)
    assert before["drop_pp"] is before["agreement"] is before["kl"] is None
    with pytest.raises(UsageError):
        TASK.measure(OUTPUTS, MASKS[:2])


def test_a_file_that_ends_with_classes_has_all_but_the_divergence():
    classes = OUTPUTS.argmax(3)
    figures, logits = (TASK.measure(found, MASKS, BETTER) for found in (classes, OUTPUTS))
    assert figures == {**logits, "kl": None}
    assert TASK.divergences(BETTER, classes) is None
    assert TASK.divergences(BETTER, OUTPUTS).shape == (3,)
    near = TASK.compare(BETTER, classes)
    assert np.isnan(near.kl)
    assert near.expected_drop == TASK.compare(BETTER, OUTPUTS).expected_drop
    assert np.array_equal(TASK.decode(classes[..., None]), TASK.decode(OUTPUTS))


def test_no_photo_is_no_error():
    figures = TASK.measure(TASK.keep(OUTPUTS[:0]), MASKS[:0], TASK.keep(BETTER[:0]))
    assert np.isnan(figures["miou"])
    assert figures["agreement"] is None
    assert np.isnan(TASK.compare(OUTPUTS[:0], OUTPUTS[:0]).agreement)


def test_the_head_is_replaced_and_cannot_be_taken_off():
    network = graph()
    assert TASK.head.is_on(network)
    other = TASK.head.replace(network, 7, 0)
    assert other.classes == 7
    assert TASK.head.is_on(other)
    spec = narrow("lite0")
    assert not TASK.head.is_on(build_graph(spec, classes=3, resolution=32, seed=None))
    for call in (
        lambda: TASK.head.remove(network),
        lambda: TASK.head.apply(network, OUTPUTS),
    ):
        with pytest.raises(UsageError, match="no embedding"):
            call()


def test_a_file_says_what_it_gives():
    network, names = graph(), ["sky", "tree", "road", "car"]
    said = TASK.describe(network, names)
    assert said.text == "Semantic segmentation, 4 classes; the output is logits."
    assert said.labels == tuple(names)
    assert [output.name for output in said.outputs] == ["logits"]


@pytest.mark.parametrize("output", TASK.outputs)
def test_a_file_says_what_it_ends_with(output):
    said = TASK.describe(TASK.end_with(graph(), output), ["sky", "tree", "road", "car"])
    ends = output.partition("-")[0]
    assert said.text == f"Semantic segmentation, 4 classes; the output is {ends}."
    assert [named.name for named in said.outputs] == [ends]


class Pairs:
    """Photos whose left half is of class 1, whose right half of 0, and one without a class."""

    labels = np.full(3, -1)

    def __len__(self):
        return 3

    def label(self, index):
        mask = np.zeros((10, 20), np.uint8)
        mask[:, :10] = 1
        if index == 2:
            mask[:] = 255
        return Image.fromarray(mask)


def test_masks_are_shown_as_the_photos_are():
    record = Preprocessing(10, (0.0,) * 3, (1.0,) * 3, ("a", "b"), crop_fraction=1.0)
    cropped = TASK.labels(Pairs(), record)
    assert cropped.shape == (3, 10, 10)
    assert cropped[0].tolist() == [[1] * 5 + [0] * 5] * 10
    padded = TASK.labels(Pairs(), dataclasses.replace(record, fit="pad"))
    assert set(padded[0, 0]) == {255}
    assert padded[0, 5].tolist() == [1] * 5 + [0] * 5


def test_only_a_set_with_masks_has_labels():
    assert TASK.has_labels(Pairs())
    assert not TASK.has_labels(SyntheticPhotos(4, 0, "train", 16))


def test_a_rare_class_weighs_more_and_one_without_pixels_as_much_as_any():
    class Rare(Pairs):
        def label(self, index):
            mask = np.array(super().label(index))
            mask[:2, :10] = 2  # 20 of 200, in every photo
            return Image.fromarray(mask)

    # Class 0: 100 of 200 + 200; 1: 80 of 200, twice; 2: 20 of 200, 200 and (no other) 20.
    frequency = [200 / 400, 160 / 400, 60 / 420]
    wanted = [0.4 / share for share in frequency]
    assert TASK.balanced_weights(Rare(), 4) == pytest.approx([*wanted, 1.0])
    assert TASK.balanced_weights(Pairs().__class__(), 2) == pytest.approx([1.0, 1.0])


def test_the_built_in_photos_have_masks():
    splits = TASK.find_splits(Wanted(builtin_resolution=32))
    assert splits.builtin
    assert isinstance(splits.val, MaskedShapes)
    assert TASK.has_labels(splits.train)
    assert TASK.fingerprint(Wanted(builtin_resolution=32))
