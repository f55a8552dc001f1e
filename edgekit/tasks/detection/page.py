"""What the page shows of detections: class by class, as curves, and drawn over photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.tasks.detection.closeness import SURE
from edgekit.tasks.detection.evaluation import Evaluation, evaluate_detections
from edgekit.tasks.detection.kept import detections_of, keep
from edgekit.tasks.detection.matching import match
from edgekit.tasks.detection.mistakes import count_mistakes, lost_boxes
from edgekit.tasks.detection.overlay import draw_boxes
from edgekit.tasks.detection.rows import COLUMNS
from edgekit.tasks.detection.truth import Truth, photo_corners, read_truths
from edgekit.tasks.task import Column, Page

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing

#: Photos that the page shows of those in which int8 lost a box; each is three pictures.
SHOWN = 12
#: Pixels of a picture's height; what is drawn on it stays as sharp as the page shows it.
HEIGHT = 192
#: The most of a picture's width over its height: of a panorama, the page would show a line.
WIDEST = 4


class LostBoxes(NamedTuple):
    """A photo with boxes that fp32 finds and int8 does not."""

    pixels: NDArray[np.uint8]  # the photo with its boxes, fp32's and int8's
    name: str
    boxes: int
    before: int  # of them found by fp32
    after: int  # by int8


class WorstPhoto(NamedTuple):
    """A photo with many mistakes."""

    pixels: NDArray[np.uint8]  # the photo with its boxes, with the detections
    name: str
    boxes: int
    found: int  # of them
    false: int  # detections of nothing
    loss: float  # see `mistakes.Mistakes`


class DetectionPage(Page):
    """AP with its interval, AP by class and form, curves, and photos with their boxes."""

    folder = Path(__file__).parent
    answer = (
        "for row in scores[scores[:, 4:].max(1).argsort()[::-1][:5]]:\n"
        "    # class, logit, and how its box differs from its anchor\n"
        "    print({labels}[row[4:].argmax()], row[4:].max(), row[:4])"
    )
    reads = (
        'each = [(model.get_tensor(end["index"])[0], *end["quantization"]) for end in results]\n'
        "parts = [(v - np.float32(zero)) * scale if scale else v for v, scale, zero in each]\n"
        "scores = np.concatenate(parts, axis=1)  # of each anchor 4 offsets, then logits"
    )

    def answer_of(self, output: str) -> tuple[str, str] | None:
        if output == "detections":
            return (
                'found = [model.get_tensor(end["index"])[0] for end in results]\n'
                "boxes, classes, scores, count = found",
                "for k in range(int(count)):\n"
                "    # class, score, and top, left, bottom, right in fractions of the input\n"
                "    print({labels}[int(classes[k])], scores[k], boxes[k])",
            )
        return super().answer_of(output)

    @property
    def columns(self) -> tuple[Column, ...]:
        return COLUMNS

    def evaluate(
        self, forms: Mapping[str, NDArray[Any]], labels: Any, names: Sequence[str]
    ) -> Evaluation:
        return evaluate_detections(
            {name: keep(kept) for name, kept in forms.items()}, labels, names
        )

    def hardest(
        self, outputs: NDArray[Any], photos: PhotoSet, preprocessing: Preprocessing, count: int
    ) -> list[WorstPhoto]:
        """The photos with the most mistakes, each weighed by its score."""
        kept, truths = keep(outputs, preprocessing), read_truths(photos, preprocessing)
        found = count_mistakes(match(kept, truths))
        # Of equal losses the earlier photo comes first.
        order = np.argsort(-found.loss, kind="stable")[:count]
        return [
            WorstPhoto(
                pixels=_strip(
                    photos.load(index), truths[index], preprocessing.labels, kept[[index]]
                ),
                name=photos.names[index],
                boxes=int(found.boxes[index]),
                found=int(found.found[index]),
                false=int(found.false[index]),
                loss=float(found.loss[index]),
            )
            for index in order.tolist()
        ]

    def lost(
        self,
        reference: NDArray[Any],
        outputs: NDArray[Any],
        photos: PhotoSet,
        preprocessing: Preprocessing,
        count: int,
    ) -> tuple[list[LostBoxes], int]:
        """The photos in which only the reference finds a box, those with the most boxes first."""
        truths = read_truths(photos, preprocessing)
        forms = [keep(values, preprocessing) for values in (reference, outputs)]
        before, after = (match(kept, truths) for kept in forms)
        counts = [count_mistakes(matches) for matches in (before, after)]
        lost = lost_boxes(before, after)
        order = np.argsort(-lost, kind="stable")[: int((lost > 0).sum())]
        shown = [
            LostBoxes(
                pixels=_strip(
                    photos.load(index),
                    truths[index],
                    preprocessing.labels,
                    *(kept[[index]] for kept in forms),
                ),
                name=photos.names[index],
                boxes=int(counts[0].boxes[index]),
                before=int(counts[0].found[index]),
                after=int(counts[1].found[index]),
            )
            for index in order[: min(count, SHOWN)].tolist()
        ]
        return shown, len(order)


def _strip(
    photo: Image.Image, truth: Truth, names: Sequence[str], *forms: NDArray[Any]
) -> NDArray[np.uint8]:
    """Pictures side by side: the photo with its boxes, and with what each form detects."""
    scale = HEIGHT / photo.height
    width = min(max(1, round(photo.width * scale)), WIDEST * HEIGHT)
    pixels = np.array(photo.resize((width, HEIGHT)))
    scales = np.array([scale, width / photo.width] * 2)
    boxes = truth.boxes
    pictures = [draw_boxes(pixels, boxes.corners * scales, boxes.classes, names)]
    for kept in forms:
        rows = detections_of(kept)[0]
        rows = rows[rows[:, 4] >= SURE]
        corners = photo_corners(rows[None, :, :4], [truth.placement])[0]
        pictures.append(draw_boxes(pixels, corners * scales, rows[:, 5], names, rows[:, 4]))
    return np.concatenate(pictures, axis=1)
