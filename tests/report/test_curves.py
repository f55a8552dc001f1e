"""A run's figures in words, and which curves it has."""

from __future__ import annotations

from typing import Any, cast

import pytest

from edgekit.report import Document
from edgekit.report.curves import draw_curves, draw_run, in_words
from edgekit.report.document import Epoch
from edgekit.tasks.classification.task import TASK


def epochs(*changes: dict[str, Any]) -> list[Epoch]:
    base = {"train_loss": 0.5, "val_top1": 0.9, "learning_rate": 1e-3, "seconds": 60.0}
    return [cast(Epoch, {**base, "epoch": i + 1, **change}) for i, change in enumerate(changes)]


def test_pace_weighs_epochs_by_their_time() -> None:
    # 1200 photos each: 3 s and 12 s of steps, of which 0.3 s and 6 s are waiting.
    history = epochs(
        {"images_per_s": 400.0, "waiting": 0.1}, {"images_per_s": 100.0, "waiting": 0.5}
    )
    assert in_words(history, TASK.metric).endswith(
        "; 160 images/s, 42 % of the time waiting for data."
    )
    assert in_words(epochs({"images_per_s": 3.21}), TASK.metric).endswith("; 3.2 images/s.")


@pytest.mark.parametrize("change", [{}, {"images_per_s": None}, {"images_per_s": 0.0}])
def test_without_a_pace(change: dict[str, Any]) -> None:
    assert in_words(epochs(change), TASK.metric) == (
        "1 epoch in 1 min 00 s; last: loss 0.5000, validation top-1 90.00 %, learning rate 0.001."
    )


def test_what_was_not_measured_is_not_told() -> None:
    assert in_words([], TASK.metric) == "No epoch was trained."
    found = in_words(epochs({"val_top1": None, "train_loss": None}), TASK.metric)
    assert found == "1 epoch in 1 min 00 s; last: loss –, learning rate 0.001."  # noqa: RUF001


def titles(history: list[Epoch]) -> list[str]:
    return [title for title, _ in draw_curves(history, TASK.metric)]


def test_a_curve_per_figure(document: Document) -> None:
    assert document["training"]
    always = ["Training loss", "Validation top-1, %", "Learning rate"]
    pace = ["Throughput, images/s", "Waiting for data, %"]
    assert titles(document["training"]["history"]) == [*always, *pace, "Image size, px"]
    assert titles(epochs({}, {})) == always
    assert titles(epochs({"resolution": 224}, {"resolution": 224})) == always
    assert titles(epochs({"val_top1": None}, {"val_top1": None})) == [always[0], always[2]]
    assert draw_run(document["training"], TASK.metric).recipe["optimizer"] == "adamw"
