"""What the page shows of a classifier's answers: by class, and photo by photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.classification.evaluation import Evaluation, evaluate_answers, worst_photos
from edgekit.tasks.classification.metrics import top_k
from edgekit.tasks.classification.rows import COLUMNS
from edgekit.tasks.task import Column, Page

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing


class Miss(NamedTuple):
    """A photo that fp32 got right and int8 wrong."""

    pixels: NDArray[np.uint8]  # [height, width, 3], RGB
    name: str
    truth: str
    expected: str  # the answer of fp32
    got: str  # the answer of int8


class WorstPhoto(NamedTuple):
    """A photo with a high loss under its class."""

    pixels: NDArray[np.uint8]  # [height, width, 3], RGB
    name: str
    truth: str
    answer: str
    probability: float  # of the answer, 0 to 1
    loss: float  # nats


class ClassificationPage(Page):
    """Top-1 with its interval, the confusion of classes, and photos that were answered wrongly."""

    folder = Path(__file__).parent
    answer = "print({labels}[scores.argmax()])"

    @property
    def columns(self) -> tuple[Column, ...]:
        return COLUMNS

    def evaluate(
        self, forms: Mapping[str, NDArray[Any]], labels: Any, names: Sequence[str]
    ) -> Evaluation:
        stage, outputs = next(iter(forms.items()))
        return evaluate_answers(stage, outputs, labels, names)

    def hardest(
        self, outputs: NDArray[Any], photos: PhotoSet, preprocessing: Preprocessing, count: int
    ) -> list[WorstPhoto]:
        names = preprocessing.labels
        return [
            WorstPhoto(
                pixels=preprocessing.pixels(photos.load(index)),
                name=photos.names[index],
                truth=names[photos.labels[index]],
                answer=names[answer],
                probability=probability,
                loss=loss,
            )
            for index, loss, answer, probability in worst_photos(outputs, photos.labels, count)
        ]

    def lost(
        self,
        reference: NDArray[Any],
        outputs: NDArray[Any],
        photos: PhotoSet,
        preprocessing: Preprocessing,
        count: int,
    ) -> tuple[list[Miss], int]:
        truth, names = photos.labels, preprocessing.labels
        lost = np.flatnonzero(top_k(reference, truth, 1) & ~top_k(outputs, truth, 1))
        misses = [
            Miss(
                pixels=preprocessing.pixels(photos.load(int(index))),
                name=photos.names[index],
                truth=names[truth[index]],
                expected=names[int(reference[index].argmax())],
                got=names[int(outputs[index].argmax())],
            )
            for index in lost[:count]
        ]
        return misses, len(lost)
