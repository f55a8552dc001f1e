"""Answers by class, and the photos with the highest loss."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.tasks.classification.evaluation import evaluate_answers, worst_photos

NAMES = ["cat", "dog", "emu"]
#           cat  dog  emu
LOGITS = [[9.0, 1.0, 0.0], [2.0, 3.0, 1.0], [5.0, 1.0, 0.0], [1.0, 4.0, 0.0]]
LABELS = np.array([0, 0, 1, 1])


def test_counts_by_class() -> None:
    found = evaluate_answers("w8a8-tflite", np.array(LOGITS), LABELS, NAMES)
    assert found == {
        "of": "w8a8-tflite",
        "n": 4,
        "labels": NAMES,
        "confusion": [[1, 1, 0], [1, 1, 0], [0, 0, 0]],
        "confused": [
            {"truth": "cat", "answer": "dog", "count": 1},
            {"truth": "dog", "answer": "cat", "count": 1},
        ],
        "per_class": [
            {"label": "cat", "n": 2, "recall": 0.5, "precision": 0.5},
            {"label": "dog", "n": 2, "recall": 0.5, "precision": 0.5},
            {"label": "emu", "n": 0, "recall": None, "precision": None},
        ],
    }
    assert json.loads(json.dumps(found)) == found


def test_of_many_classes_the_worst() -> None:
    classes = 51
    labels = np.repeat(np.arange(classes - 1), 4)  # the last class has no photo
    answers = labels.copy()
    answers[labels == 7] = 8
    answers[np.flatnonzero(labels == 30)[:3]] = 50
    found = evaluate_answers("x", np.eye(classes)[answers], labels, [f"c{i}" for i in range(51)])
    assert found["confusion"] is None
    assert found["confused"] == [
        {"truth": "c7", "answer": "c8", "count": 4},
        {"truth": "c30", "answer": "c50", "count": 3},
    ]
    assert [score["label"] for score in found["per_class"]][:3] == ["c7", "c30", "c0"]
    assert len(found["per_class"]) == 20
    assert found["per_class"][0] == {"label": "c7", "n": 4, "recall": 0.0, "precision": None}


@pytest.mark.parametrize(("classes", "whole"), [(50, True), (51, False)])
def test_a_large_matrix_is_not_kept(classes: int, whole: bool) -> None:
    logits = np.random.default_rng(0).normal(size=(400, classes))
    labels = np.arange(400) % classes
    found = evaluate_answers("x", logits, labels, [str(i) for i in range(classes)])
    assert (found["confusion"] is not None) == whole
    assert len(found["confused"]) == 20
    counts = [pair["count"] for pair in found["confused"]]
    assert counts == sorted(counts, reverse=True)


def test_needs_a_name_per_class() -> None:
    with pytest.raises(ValueError, match="zip"):
        evaluate_answers("x", np.array(LOGITS), LABELS, NAMES[:2])
    with pytest.raises(UsageError):
        evaluate_answers("x", np.array(LOGITS), LABELS[:2], NAMES)


def test_the_worst_come_first() -> None:
    found = worst_photos(np.array(LOGITS), LABELS, 3)
    assert [worst.photo for worst in found] == [2, 1, 3]
    total = sum(map(math.exp, LOGITS[2]))
    assert found[0].loss == pytest.approx(-math.log(math.exp(1) / total))
    assert found[0].answer == 0
    assert found[0].probability == pytest.approx(math.exp(5) / total)
    assert len(worst_photos(np.array(LOGITS), LABELS, 99)) == 4
    assert worst_photos(np.zeros((0, 3)), LABELS[:0], 5) == []


def test_what_is_no_number_is_worst() -> None:
    logits = np.array([*LOGITS, [math.inf, math.nan, 0.0]], np.float32)
    assert worst_photos(logits, np.array([*LABELS, 0]), 2)[0].photo == 4
