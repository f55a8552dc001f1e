"""Photos with boxes and detections of them, drawn at random: what tests of detection measure."""

from __future__ import annotations

import numpy as np

from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.placement import place
from edgekit.tasks.detection.kept import kept_type
from edgekit.tasks.detection.truth import Truth

PEAKS = 60


def scene(photos, classes, seed=0, *, found=0.7, crowds=0.1, shift=0.02, most=60):
    """What is kept of the outputs for some photos, and their boxes.

    Args:
        photos: how many.
        classes: likewise.
        seed: of everything.
        found: share of the boxes that a detection is put on, and again.
        crowds: share of the boxes that are crowds.
        shift: deviation of a side of such a detection, in fractions of the input.
        most: detections of a photo; those that are on no box are anywhere.
    """
    rng = np.random.default_rng(seed)
    kept = np.zeros(photos, kept_type(classes, PEAKS))
    kept["peaks"] = rng.normal(-4, 2, (photos, PEAKS))
    truths = np.empty(photos, object)
    for photo in range(photos):
        height, width = rng.integers(200, 600, 2).tolist()
        count = int(rng.integers(0, 12))
        sides, centers = rng.uniform(0.03, 0.4, (count, 2)), rng.uniform(0, 1, (count, 2))
        corners = np.clip(np.concatenate([centers - sides / 2, centers + sides / 2], 1), 0, 1)
        own = rng.integers(0, classes, count)
        boxes = make_boxes(corners * [height, width, height, width], own)
        is_crowd = rng.random(count) < crowds
        truths[photo] = Truth(
            Boxes(boxes.corners, boxes.classes, is_crowd, boxes.areas),
            place((width, height), 320, "stretch"),
        )
        rows = []
        for box, k in zip(corners, own, strict=True):
            for _ in range(int((rng.random(2) < found).sum())):
                moved = box + rng.normal(0, shift, 4)
                low, high = np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])
                rows.append([*low, *high, _score(rng.normal(1, 1.5)), k])
        for _ in range(int(rng.integers(0, most - len(rows)))):
            center, size = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.4, 2) / 2
            score = _score(rng.normal(-3, 1.5))
            rows.append([*(center - size), *(center + size), score, rng.integers(0, classes)])
        detections = np.array(rows, np.float32).reshape(-1, 6)
        order = np.argsort(-detections[:, 4], kind="stable")
        kept["detections"][photo, : len(rows)] = detections[order]
    return kept, truths


def detected(*photos, classes=3):
    """What is kept of photos with these detections: rows of a box, a score and a class each."""
    kept = np.zeros(len(photos), kept_type(classes, PEAKS))
    kept["peaks"] = -5
    for photo, rows in enumerate(photos):
        if rows:
            kept["detections"][photo, : len(rows)] = rows
    return kept


def labelled(*photos, size=(100, 100)):
    """Truths of photos with these boxes: rows of a box in fractions of the photo and a class."""
    truths = np.empty(len(photos), object)
    width, height = size
    for photo, rows in enumerate(photos):
        corners = [
            [row[0] * height, row[1] * width, row[2] * height, row[3] * width] for row in rows
        ]
        boxes = make_boxes(corners, [int(row[4]) for row in rows])
        truths[photo] = Truth(boxes, place(size, 64, "stretch"))
    return truths


def _score(odds):
    return 1 / (1 + np.exp(-odds))
