"""What the page shows of maps: class by class, and drawn over photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.data.masks.arrays import masks_of
from edgekit.tasks.segmentation import metrics
from edgekit.tasks.segmentation.closeness import cross_entropy
from edgekit.tasks.segmentation.evaluation import Evaluation, evaluate_maps
from edgekit.tasks.segmentation.kept import class_count, classes_of, has_logits, keep, resize
from edgekit.tasks.segmentation.overlay import draw, draw_difference
from edgekit.tasks.segmentation.rows import COLUMNS
from edgekit.tasks.task import Column, Page

if TYPE_CHECKING:
    from PIL import Image

    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing

#: Photos that the page shows of those that int8 lost; each is four pictures.
SHOWN = 12
#: Points of a photo's own mean IoU from which on a fall counts.
FALL = 1.0


class Fallen(NamedTuple):
    """A photo that int8 answers worse than fp32."""

    pixels: NDArray[np.uint8]  # the photo with its mask, fp32's, int8's, and where they differ
    name: str
    before: float  # mean IoU of fp32 over the photo's classes, a fraction
    after: float  # of int8


class WorstPhoto(NamedTuple):
    """A photo with a high loss."""

    pixels: NDArray[np.uint8]  # the photo, with its mask, with the answer
    name: str
    score: float  # mean IoU over the photo's classes, a fraction
    right: float  # share of its pixels
    loss: float  # nats a pixel; NaN where a network answers classes alone


class SegmentationPage(Page):
    """Mean IoU with its interval, IoU by class and form, and photos with their masks."""

    folder = Path(__file__).parent
    answer = (
        "maps = scores.reshape(*scores.shape[:2], -1)\n"
        "classes = maps.argmax(-1) if maps.shape[-1] > 1 else maps[..., 0]\n"
        "print({{name: int((classes == i).sum()) for i, name in enumerate({labels})}})"
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        return COLUMNS

    def evaluate(
        self, forms: Mapping[str, NDArray[Any]], labels: Any, names: Sequence[str]
    ) -> Evaluation:
        return evaluate_maps({name: keep(kept) for name, kept in forms.items()}, labels, names)

    def hardest(
        self, outputs: NDArray[Any], photos: PhotoSet, preprocessing: Preprocessing, count: int
    ) -> list[WorstPhoto]:
        kept, masks = keep(outputs), masks_of(photos, preprocessing)
        found = metrics.sums(metrics.counted(kept, masks))
        scores, right = metrics.mean_iou(found), metrics.pixel_accuracy(found)
        losses = cross_entropy(kept, masks) if has_logits(kept) else 1 - scores
        # What is not a number is worst of all; of equal losses the earlier photo comes first.
        order = np.argsort(-np.nan_to_num(losses, nan=np.inf), kind="stable")[:count]
        return [
            WorstPhoto(
                pixels=_strip(
                    preprocessing,
                    photos.load(index),
                    masks[index],
                    classes_of(kept[index : index + 1])[0],
                ),
                name=photos.names[index],
                score=float(scores[index]),
                right=float(right[index]),
                loss=float(losses[index]) if has_logits(kept) else float("nan"),
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
    ) -> tuple[list[Fallen], int]:
        """The photos whose own mean IoU falls by a point or more, the largest falls first."""
        masks, forms = masks_of(photos, preprocessing), [keep(reference), keep(outputs)]
        classes = class_count(*forms, masks)
        before, after = (
            metrics.mean_iou(metrics.sums(metrics.confusions(kept, masks, classes)))
            for kept in forms
        )
        falls = 100 * np.nan_to_num(before - after)
        order = np.argsort(-falls, kind="stable")[: int((falls >= FALL).sum())]
        answers = [classes_of(kept) for kept in forms]
        shown = [
            Fallen(
                pixels=_strip(
                    preprocessing,
                    photos.load(index),
                    masks[index],
                    *(answer[index] for answer in answers),
                ),
                name=photos.names[index],
                before=float(before[index]),
                after=float(after[index]),
            )
            for index in order[: min(count, SHOWN)].tolist()
        ]
        return shown, len(order)


def _strip(
    preprocessing: Preprocessing,
    image: Image.Image,
    mask: NDArray[np.uint8],
    *answers: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Pictures side by side: the mask and the answers over the photo; one answer after the photo
    itself, two before where they differ. What is beyond the photo is left out.
    """
    photo = preprocessing.pixels(image)
    left, top, right, bottom = preprocessing.place(image.size).shown
    whole = [mask, *(resize(answer[None], *photo.shape[:2])[0] for answer in answers)]
    photo, *maps = (values[top:bottom, left:right] for values in (photo, *whole))
    drawn = [draw(photo, classes) for classes in maps]
    if len(answers) == 1:
        return np.concatenate([photo, *drawn], axis=1)
    return np.concatenate([*drawn, draw_difference(photo, maps[1], maps[2])], axis=1)
