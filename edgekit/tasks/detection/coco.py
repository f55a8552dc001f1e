"""COCO's figures, by the library that computes them as COCO's own tools do.

`faster-coco-eval` is a C++ copy of pycocotools' evaluation; it needs NumPy alone, and has 2 MB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.detection.kept import class_count, detections_of
from edgekit.tasks.detection.truth import check_classes, photo_corners

#: By place in the library's tables (pycocotools: ``Params.areaRngLbl``): areas below 32², to 96²,
#: and above, in pixels of the photo.
AREAS = ("all", "small", "medium", "large")
#: By place likewise (``Params.maxDets``).
MOST = (1, 10, 100)


@dataclass(frozen=True, eq=False)
class CocoFigures:
    """The tables of an evaluation; -1 where there is nothing of a kind.

    Attributes:
        precision: float64 [10 limits, 101 recalls, classes, 4 areas, 3 numbers of detections].
        recall: float64 [10 limits, classes, 4 areas, 3 numbers of detections].
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def ap(
        self, limit: int | None = None, area: str = "all", category: int | None = None
    ) -> float | None:
        """Average precision, the mean over classes and limits; None where there is no box.

        Args:
            limit: place in `edgekit.tasks.detection.matching.LIMITS`; None for all.
            area: one of `AREAS`.
            category: index of the class; None for all.
        """
        return _mean(_chosen(self.precision, 0, limit, 2, category)[..., AREAS.index(area), 2])

    def ar(self, most: int = 100, area: str = "all") -> float | None:
        """Average recall with so many detections of a class in a photo."""
        return _mean(self.recall[:, :, AREAS.index(area), MOST.index(most)])

    def curve(self, limit: int) -> list[float] | None:
        """Precision at 101 recalls from 0 to 1, the mean over classes; None without a box."""
        values = self.precision[limit, :, :, 0, 2]
        known = values[:, (values > -1).all(axis=0)]
        return known.mean(axis=1).tolist() if known.size else None


def _chosen(
    table: NDArray[np.float64], axis: int, place: int | None, other: int, second: int | None
) -> NDArray[np.float64]:
    """A part of a table: one place of an axis, of another one, or all."""
    for along, index in ((axis, place), (other, second)):
        if index is not None:
            table = table.take([index], axis=along)
    return table


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def evaluate_coco(kept: NDArray[Any], truths: NDArray[Any]) -> CocoFigures:
    """The figures of the detections of n photos.

    Args:
        kept: of n images.
        truths: of the same.

    Raises:
        UsageError: they do not belong together, or a box has a class that the network has not.
    """
    categories = class_count(kept)
    annotations: list[dict[str, Any]] = []
    for photo, truth in enumerate(truths):
        boxes = truth.boxes
        check_classes(boxes, categories)
        for sides, category, crowd, area in zip(
            boxes.corners.astype(np.float64).tolist(),
            boxes.classes.tolist(),
            boxes.crowds.tolist(),
            boxes.areas.tolist(),
            strict=True,
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # pycocotools takes 0 for none
                    "image_id": photo,
                    "category_id": category,
                    "bbox": _as_sides(sides),
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    rows = detections_of(kept)
    corners = photo_corners(rows[:, :, :4], [truth.placement for truth in truths])
    detections = [
        {
            "image_id": int(photo),
            "category_id": int(rows[photo, place, 5]),
            "bbox": _as_sides(corners[photo, place].tolist()),
            "score": float(rows[photo, place, 4]),
        }
        for photo, place in np.argwhere(rows[:, :, 4] > 0)
    ]
    return evaluate_records(
        {
            "images": [{"id": photo} for photo in range(len(truths))],
            "categories": [{"id": k, "name": str(k)} for k in range(categories)],
            "annotations": annotations,
        },
        detections,
    )


def _as_sides(corners: Sequence[float]) -> list[float]:
    """Left, top, width and height, as COCO has boxes."""
    top, left, bottom, right = corners
    return [left, top, right - left, bottom - top]


def evaluate_records(
    truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]
) -> CocoFigures:
    """The figures of records in COCO's own form.

    Args:
        truth: as an annotation file: ``images``, ``categories``, ``annotations``.
        detections: as a file of results.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    known = COCO(dict(truth))
    found = known.loadRes([dict(detection) for detection in detections])
    evaluation = COCOeval_faster(known, found, "bbox", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    return CocoFigures(evaluation.eval["precision"], evaluation.eval["recall"])
