"""The figures of a row of the report."""

import numpy as np
import pytest
from detections import detected, labelled, scene

from edgekit.tasks.detection.coco import evaluate_coco
from edgekit.tasks.detection.rows import COLUMNS, measure

KEPT, TRUTHS = scene(40, 3, seed=4)
BETTER, _ = scene(40, 3, seed=4, found=0.7, shift=0.002)


@pytest.fixture(scope="module")
def figures():
    return measure(KEPT, TRUTHS, BETTER)


def test_they_are_the_library_s_within_their_intervals(figures):
    coco = evaluate_coco(KEPT, TRUTHS)
    assert figures["ap"] == coco.ap()
    assert figures["ap50"] == coco.ap(0)
    assert figures["ap75"] == coco.ap(5)
    assert figures["ap_small"] == coco.ap(area="small")
    for name in ("ap", "ap50", "ap75"):
        low, high = figures[f"{name}_ci95"]
        assert low < figures[name] < high
        assert 0.01 < high - low < 0.3
    assert figures["classes_present"] == 3


def test_the_loss_is_paired_with_the_reference_s(figures):
    before = measure(BETTER, TRUTHS)
    assert figures["drop_pp"] == pytest.approx(100 * (before["ap"] - figures["ap"]))
    low, high = figures["ap_ci95"]
    assert 0 < figures["drop_se_pp"] < 100 * (high - low) / 2  # sharper than one form's interval
    assert 0 < figures["agreement"] < 1
    for name in ("agreement", "agreement_iou", "score_difference", "kl", "drop_pp", "drop_se_pp"):
        assert before[name] is None
    same = measure(KEPT, TRUTHS, KEPT)
    assert (same["agreement"], same["drop_pp"], same["drop_se_pp"]) == (1, pytest.approx(0), 0)
    assert same["kl"] == pytest.approx(0, abs=1e-12)


def test_no_photo_and_no_box_are_no_error():
    nothing = measure(KEPT[:0], TRUTHS[:0], BETTER[:0])
    assert np.isnan(nothing["ap"])
    assert nothing["agreement"] is nothing["drop_pp"] is None
    empty = measure(detected([(0.1, 0.1, 0.5, 0.5, 0.9, 0)]), labelled([]))
    assert np.isnan(empty["ap"])
    assert np.isnan(empty["ap50_ci95"]).all()
    assert empty["ap_large"] is empty["ar100"] is None


def test_the_terminal_has_all_that_is_known(figures):
    cells = {column.title: column.cell(figures) for column in COLUMNS}
    assert cells["AP %"] == f"{100 * figures['ap']:.2f}"
    assert " to " in cells["95 % interval"]
    assert "±" in cells["drop pp"]
    assert cells["small / medium / large %"].count("/") == 2
