"""What the answers of one stage say beyond top-1: which classes are confused, which photos hard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MATRIX = 50  # classes up to which the whole matrix is kept
MOST = 20  # pairs that are confused most often, and the worst classes of more than that


class Confused(TypedDict):
    """How often one class was taken for another."""

    truth: str  # the class of the photos
    answer: str  # the class that was answered
    count: int  # photos


class ClassScore(TypedDict):
    """How well one class is told from the others."""

    label: str  # of the class
    n: int  # photos of the class
    recall: float | None  # share of these that were answered with it; None without a photo
    precision: float | None  # share of right ones among its answers; None where it was none


class Evaluation(TypedDict):
    """The answers of one stage on the validation photos, by class."""

    of: str  # the stage, for example fp32-torch
    n: int  # photos
    labels: list[str]  # of the classes, in order
    confusion: list[list[int]] | None  # rows: truth, columns: answer; None of more than 50 classes
    confused: list[Confused]  # the 20 pairs confused most often, the commonest first
    per_class: list[ClassScore]  # all in order; of more than 50 classes the 20 of lowest recall


class PhotoLoss(NamedTuple):
    """How a photo was answered."""

    photo: int  # its index
    loss: float  # nats
    answer: int  # the class that was answered
    probability: float  # of that answer, 0 to 1


def evaluate_answers(
    stage: str,
    logits: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    names: Sequence[str],
) -> Evaluation:
    """Counts a stage's answers by class.

    Args:
        stage: whose answers these are, for example ``fp32-torch``.
        logits: its scores ``[n, classes]`` in any dtype.
        labels: true class indices ``[n]``.
        names: of the classes, in order.

    Raises:
        UsageError: the arrays do not belong together.
        ValueError: there is not a name per class.
    """
    from edgekit.tasks.classification.metrics import confusion

    counts = confusion(logits, labels)
    few = len(counts) <= MATRIX
    scores = _class_scores(counts, names)
    if not few:
        known = [score for score in scores if score["recall"] is not None]
        scores = sorted(known, key=lambda score: score["recall"] or 0.0)[:MOST]
    return Evaluation(
        of=stage,
        n=len(labels),
        labels=list(names),
        confusion=counts.tolist() if few else None,
        confused=_most_confused(counts, names),
        per_class=scores,
    )


def worst_photos(
    logits: NDArray[Any], labels: NDArray[np.integer[Any]], count: int
) -> list[PhotoLoss]:
    """The photos with the highest loss under the right class, the highest first.

    Args:
        logits: scores ``[n, classes]`` in any dtype.
        labels: true class indices ``[n]``.
        count: how many at most.

    Raises:
        UsageError: the arrays do not belong together.
    """
    import numpy as np

    from edgekit.tasks.classification.metrics import cross_entropy, softmax

    losses = cross_entropy(logits, labels)
    # What is not a number is worst of all; of equal losses the earlier photo comes first.
    order = np.argsort(-np.nan_to_num(losses, nan=np.inf), kind="stable")[:count]
    answers = logits[order].argmax(axis=1)
    with np.errstate(invalid="ignore"):
        probabilities = softmax(logits[order])[np.arange(len(order)), answers]
    return [
        PhotoLoss(int(photo), float(losses[photo]), int(answer), float(probability))
        for photo, answer, probability in zip(order, answers, probabilities, strict=True)
    ]


def _class_scores(counts: NDArray[np.int64], names: Sequence[str]) -> list[ClassScore]:
    return [
        ClassScore(
            label=name,
            n=int(photos),
            recall=float(right / photos) if photos else None,
            precision=float(right / answers) if answers else None,
        )
        for name, right, photos, answers in zip(
            names, counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0), strict=True
        )
    ]


def _most_confused(counts: NDArray[np.int64], names: Sequence[str]) -> list[Confused]:
    import numpy as np

    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST]
    pairs = zip(*(axis.tolist() for axis in np.unravel_index(order, wrong.shape)), strict=True)
    return [
        Confused(truth=names[truth], answer=names[answer], count=int(wrong[truth, answer]))
        for truth, answer in pairs
        if wrong[truth, answer]
    ]
