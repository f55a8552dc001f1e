"""Image classification: one class for each image, from a score per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.splits import builtin_splits, fingerprint, load_splits
from edgekit.networks.edit import replace_head, without_classifier
from edgekit.networks.nodes import FullyConnected
from edgekit.tasks.classification import metrics
from edgekit.tasks.classification.page import ClassificationPage
from edgekit.tasks.classification.rows import measure
from edgekit.tasks.learning import Learning
from edgekit.tasks.task import Closeness, Description, Head, HubWords, Metric, Output, Task

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing
    from edgekit.data.splits import Splits, Wanted
    from edgekit.networks.graph import Graph
    from edgekit.tasks.drift import Drift

LOGITS = Output("logit", "A logit per class.")
EMBEDDING = Output("embedding", "The photo as a vector, for a classifier of one's own.")


class Classifier(Head):
    """One fully connected layer from the embedding to a logit per class."""

    def is_on(self, graph: Graph) -> bool:
        return isinstance(graph.nodes[-1], FullyConnected)

    def replace(self, graph: Graph, classes: int, seed: int) -> Graph:
        return replace_head(graph, classes, seed)

    def remove(self, graph: Graph) -> Graph:
        return without_classifier(graph)

    def apply(self, graph: Graph, features: NDArray[Any]) -> NDArray[Any]:
        """Logits [n, classes] from embeddings [n, channels]."""
        head = graph.node_weights(graph.nodes[-1])
        logits: NDArray[Any] = features @ head["kernel"] + head["bias"]
        return logits


class Classification(Task):
    """Outputs are logits [n, classes], labels class indices int64 [n]."""

    name = "classification"
    metric = Metric("top1", "top-1", "Top-1")
    head = Classifier()
    page = ClassificationPage()
    model_type = "Classification"
    hub_words = HubWords("image-classification", "accuracy")
    device_program = Path(__file__).with_name("device_program.py")
    lacking = MappingProxyType({"--photos": "photos are in the folders of their classes"})

    @property
    def learning(self) -> Learning:
        from edgekit.tasks.classification.learning import LEARNING

        return LEARNING

    def find_splits(self, wanted: Wanted) -> Splits:
        if wanted.data is wanted.val is wanted.calibration is None:
            return builtin_splits(wanted.calibration_count, wanted.seed, wanted.builtin_resolution)
        return load_splits(
            wanted.data,
            wanted.val,
            wanted.calibration,
            calibration_count=wanted.calibration_count,
            seed=wanted.seed,
            progress=wanted.progress,
        )

    def fingerprint(self, wanted: Wanted) -> str:
        return fingerprint(wanted.data, wanted.val, wanted.calibration)

    def labels(self, photos: PhotoSet, preprocessing: Preprocessing) -> NDArray[np.int64]:
        return photos.labels

    def balanced_weights(self, photos: PhotoSet, classes: int) -> tuple[float, ...]:
        """Photos over classes and photos of the class, 1 of a class without any.

        (G. King and L. Zeng, "Logistic regression in rare events data", Political Analysis 9
        (2001) 137-163, as scikit-learn's ``class_weight="balanced"``.)
        """
        labels = photos.labels
        counts = np.bincount(labels[labels >= 0], minlength=classes)
        weights = counts.sum() / (classes * np.maximum(counts, 1))
        return tuple(np.where(counts > 0, weights, 1.0).tolist())

    def decode(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """The class of the highest score, int64 [n]; of ties the lower index."""
        answers: NDArray[np.int64] = outputs.argmax(axis=1)
        return answers

    def tally(self, outputs: NDArray[Any], labels: NDArray[np.int64]) -> tuple[float, float]:
        """How many are right, of how many."""
        return float(metrics.top_k(outputs, labels, 1).sum()), len(labels)

    def score(self, tally: Sequence[float]) -> float:
        right, count = tally
        return right / count if count else float("nan")

    def measure(
        self,
        outputs: NDArray[Any],
        labels: NDArray[np.int64],
        reference: NDArray[Any] | None = None,
    ) -> dict[str, Any]:
        """Top-1 with Wilson's interval, top-5, and what was lost against the reference."""
        return {**measure(outputs, labels, reference)}

    def compare(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Closeness:
        return Closeness(
            metrics.agreement(self.decode(reference), self.decode(outputs)),
            metrics.kl_divergence(reference, outputs),
            metrics.expected_drop(reference, outputs),
        )

    def divergences(self, reference: NDArray[Any], outputs: NDArray[Any]) -> NDArray[np.float64]:
        return metrics.kl_by_photo(reference, outputs)

    def find_drift(self, before: NDArray[Any], now: NDArray[Any], labels: Sequence[str]) -> Drift:
        """See `Task.find_drift`: of confidence, energy and the share of each class."""
        from edgekit.tasks.classification.drift import find_drift

        return find_drift(before, now, labels)

    def describe(self, graph: Graph, labels: Sequence[str]) -> Description:
        if self.head.is_on(graph):
            text = f"Image classifier, {graph.classes} classes; the output is logits."
            return Description(text, tuple(labels), (LOGITS,))
        text = f"Image embedding of {graph.classes} numbers, for a classifier of one's own."
        return Description(text, (), (EMBEDDING,))


TASK = Classification()
