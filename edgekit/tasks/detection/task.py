"""Object detection: boxes with classes, from offsets and logits at anchors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.boxes.boxes import Boxes
from edgekit.errors import UsageError
from edgekit.networks.detection.drawn import replace_classes
from edgekit.networks.detection.heads import BOXES, LOGITS
from edgekit.networks.detection.outputs import ENDS, with_end
from edgekit.tasks.detection import closeness
from edgekit.tasks.detection.kept import detections_of, keep
from edgekit.tasks.detection.matching import match
from edgekit.tasks.detection.page import DetectionPage
from edgekit.tasks.detection.precision import (
    average_precisions,
    histogram,
    mean_precision,
    score_histogram,
)
from edgekit.tasks.detection.rows import measure
from edgekit.tasks.detection.truth import class_weights, read_truths
from edgekit.tasks.learning import Learning
from edgekit.tasks.task import (
    Closeness,
    Description,
    Head,
    HubWords,
    Metric,
    Output,
    Recipes,
    Task,
)

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing
    from edgekit.data.splits import Splits, Wanted
    from edgekit.networks.graph import Graph

#: A network's, in order.
OUTPUTS = (
    Output(BOXES, "How each anchor's box is moved and stretched: ty, tx, th, tw."),
    Output(LOGITS, "A logit per class for each anchor."),
)
#: Of one that ends with boxes; in a file they are four outputs, which have names of their own.
DETECTIONS = (Output("detections", "Boxes, each with a score and a class."),)


class Predictors(Head):
    """The convolutions to the logits of the classes, which all levels share."""

    def is_on(self, graph: Graph) -> bool:
        return {BOXES, LOGITS} <= {*graph.outputs}

    def replace(self, graph: Graph, classes: int, seed: int) -> Graph:
        return replace_classes(graph, classes, seed)

    def remove(self, graph: Graph) -> Graph:
        raise _no_embedding()

    def apply(self, graph: Graph, features: NDArray[Any]) -> NDArray[Any]:
        raise _no_embedding()


def _no_embedding() -> UsageError:
    return UsageError("a detector has no embedding", hint="--head classifier")


class Detection(Task):
    """Outputs are float [n, anchors, 4 + classes], labels an object array [n] of `truth.Truth`.

    All methods take outputs as `keep` gives them; it alone needs the record of the images.
    """

    name = "detection"
    metric = Metric("ap", "COCO AP", "COCO AP")
    head = Predictors()
    page = DetectionPage()
    model_type = ""
    hub_words = HubWords("object-detection", "map")
    device_program = Path(__file__).with_name("device_program.py")
    outputs = ENDS
    recipes = Recipes("detect-scratch", "detect", "detect-shapes")
    lacking = MappingProxyType(
        {
            "embedding": "a detector has a map for each level, and no vector",
            "mixup": "a box is of one photo",
            "cutmix": "a box that is cut is no longer round its thing",
            "noisy-student": "it chooses photos by their one label",
        }
    )
    # Nearly all anchors are background, and a range of the least error is theirs: it cuts off the
    # scores of what is found.
    ranked = (LOGITS,)
    usual_model = "det-lite0"
    # More than 128: of less, the last level is one pixel, which not every accelerator can double.
    builtin_side = 136

    @property
    def learning(self) -> Learning:
        from edgekit.tasks.detection.learning import LEARNING

        return LEARNING

    def find_splits(self, wanted: Wanted) -> Splits:
        from edgekit.data.boxes.splits import load_box_splits

        return load_box_splits(wanted)

    def fingerprint(self, wanted: Wanted) -> str:
        from edgekit.data.boxes.splits import fingerprint_boxes

        return fingerprint_boxes(wanted)

    def labels(self, photos: PhotoSet, preprocessing: Preprocessing) -> NDArray[Any]:
        """The boxes of each photo, and where the photo is in the input: an object array [n]."""
        return read_truths(photos, preprocessing)

    def has_labels(self, photos: PhotoSet) -> bool:
        """Whether a set has boxes: all of its photos (which may have none), or none."""
        return len(photos) > 0 and isinstance(photos.label(0), Boxes)

    def balanced_weights(self, photos: PhotoSet, classes: int) -> tuple[float, ...]:
        """All boxes over classes and boxes of the class, 1 of a class without any."""
        return class_weights(photos, classes)

    def keep(
        self, outputs: NDArray[Any], preprocessing: Preprocessing | None = None
    ) -> NDArray[Any]:
        """The 100 best detections, and the highest logits: `detection.kept`."""
        return keep(outputs, preprocessing)

    def decode(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """The detections, float32 [n, 100, 6]: top, left, bottom, right, score, class."""
        return detections_of(keep(outputs))

    def tally(self, outputs: NDArray[Any], labels: NDArray[Any]) -> tuple[float, ...]:
        """Detections and right ones by class, IoU threshold and score: `precision.histogram`."""
        return histogram(match(keep(outputs), labels))

    def score(self, tally: Sequence[float]) -> float:
        """COCO AP to 0.001 where scores differ; right ones among equal scores lie evenly."""
        return score_histogram(tally)

    def metric_of(self, outputs: NDArray[Any], labels: NDArray[Any]) -> float:
        """COCO AP, as `measure` has it."""
        return float(mean_precision(average_precisions(match(keep(outputs), labels))))

    def measure(
        self,
        outputs: NDArray[Any],
        labels: NDArray[Any],
        reference: NDArray[Any] | None = None,
    ) -> dict[str, Any]:
        """COCO's figures, and what was lost."""
        return {**measure(keep(outputs), labels, None if reference is None else keep(reference))}

    def compare(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Closeness:
        before, after = keep(reference), keep(outputs)
        divergence = closeness.kl_by_photo(before, after)
        return Closeness(
            closeness.find_again(before, after).share,
            float(divergence.mean()) if len(divergence) else float("nan"),
            closeness.expected_drop(before, after),
        )

    def divergences(
        self, reference: NDArray[Any], outputs: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        before, after = keep(reference), keep(outputs)
        if not closeness.are_comparable(before, after):
            return None
        return closeness.kl_by_photo(before, after)

    def end_with(self, graph: Graph, output: str) -> Graph:
        """A network that ends with offsets and logits of its anchors, or with boxes."""
        return with_end(graph, output)

    def describe(self, graph: Graph, labels: Sequence[str]) -> Description:
        if graph.output in graph.float_tensors:
            text = (
                f"Object detection, {graph.classes} classes; the outputs are up to "
                f"{graph.output_shape[0]} boxes with their classes and scores."
            )
            return Description(text, tuple(labels), DETECTIONS)
        text = (
            f"Object detection, {graph.classes} classes; the outputs are boxes and logits of "
            f"{graph.output_shape[0]} anchors."
        )
        return Description(text, tuple(labels), OUTPUTS)


TASK = Detection()
