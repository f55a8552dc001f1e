"""Semantic segmentation: a class for each pixel, from a map of logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.data.masks.arrays import masks_of
from edgekit.errors import UsageError
from edgekit.networks.nodes import Conv2D
from edgekit.networks.segmentation.layers import LOGITS
from edgekit.networks.segmentation.outputs import OUTPUTS, replace_logits, with_output
from edgekit.tasks.learning import Learning
from edgekit.tasks.segmentation import closeness, metrics
from edgekit.tasks.segmentation.kept import classes_of, keep
from edgekit.tasks.segmentation.masks import median_frequencies
from edgekit.tasks.segmentation.page import SegmentationPage
from edgekit.tasks.segmentation.rows import measure
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

SCORES = Output("logits", "A logit per class for each pixel.")
CLASSES = Output("classes", "The class of each pixel.")


class PixelClassifier(Head):
    """The convolution to a logit per class, and what enlarges its map or takes the classes."""

    def is_on(self, graph: Graph) -> bool:
        return any(isinstance(node, Conv2D) and node.name == LOGITS for node in graph.nodes)

    def replace(self, graph: Graph, classes: int, seed: int) -> Graph:
        return replace_logits(graph, classes, seed)

    def remove(self, graph: Graph) -> Graph:
        raise _no_embedding()

    def apply(self, graph: Graph, features: NDArray[Any]) -> NDArray[Any]:
        raise _no_embedding()


def _no_embedding() -> UsageError:
    return UsageError("a segmentation network has no embedding", hint="--head classifier")


class Segmentation(Task):
    """Outputs are maps, labels masks uint8 [n, height, width], 255 where a pixel is of no class.

    All methods take outputs as `keep` gives them, and make that of others first.
    """

    name = "segmentation"
    metric = Metric("miou", "mIoU", "mIoU")
    head = PixelClassifier()
    page = SegmentationPage()
    model_type = "Segmentation"
    hub_words = HubWords("image-segmentation", "mean_iou")
    device_program = Path(__file__).with_name("device_program.py")
    outputs = OUTPUTS
    recipes = Recipes("segment-scratch", "segment", "segment-shapes")
    usual_model = "unet-lite0"
    lacking = MappingProxyType(
        {
            "embedding": "a decoder has a map for each size, and no vector",
            "mixup": "a pixel of a mask has one class; cutmix pastes masks with their photos",
            "noisy-student": "it chooses photos by their one label",
            "--photos": "photos and masks are both in the folder of --data",
        }
    )

    @property
    def learning(self) -> Learning:
        from edgekit.tasks.segmentation.learning import LEARNING

        return LEARNING

    def find_splits(self, wanted: Wanted) -> Splits:
        from edgekit.data.masks.splits import load_masked_splits

        return load_masked_splits(wanted)

    def fingerprint(self, wanted: Wanted) -> str:
        from edgekit.data.masks.splits import fingerprint_masked

        return fingerprint_masked(wanted)

    def labels(self, photos: PhotoSet, preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """The masks as the photos are shown to the network, uint8 [n, side, side]."""
        return masks_of(photos, preprocessing)

    def has_labels(self, photos: PhotoSet) -> bool:
        """Whether a set has masks: all of its photos, or none."""
        return len(photos) > 0 and isinstance(photos.label(0), Image.Image)

    def balanced_weights(self, photos: PhotoSet, classes: int) -> tuple[float, ...]:
        """The median frequency of a class over each one's own."""
        return median_frequencies(photos, classes)

    def keep(
        self, outputs: NDArray[Any], preprocessing: Preprocessing | None = None
    ) -> NDArray[Any]:
        """The class of each pixel, and every fourth one's logits: `segmentation.kept`."""
        return keep(outputs)

    def decode(self, outputs: NDArray[Any]) -> NDArray[np.uint8]:
        """The class of each pixel, uint8 [n, height, width]; of ties the lower one."""
        return classes_of(keep(outputs))

    def tally(self, outputs: NDArray[Any], labels: NDArray[np.uint8]) -> tuple[float, ...]:
        """The confusion matrix, row after row: as many as there are classes, squared."""
        counts = metrics.counted(keep(outputs), labels).sum(axis=0)
        return tuple(counts.ravel().astype(float).tolist())

    def score(self, tally: Sequence[float]) -> float:
        """Mean IoU over the classes that are in the masks."""
        classes = math.isqrt(len(tally))
        counts = np.array(tally).reshape(classes, classes).astype(np.int64)
        return float(metrics.mean_iou(metrics.sums(counts)))

    def measure(
        self,
        outputs: NDArray[Any],
        labels: NDArray[np.uint8],
        reference: NDArray[Any] | None = None,
    ) -> dict[str, Any]:
        """Mean IoU, the share of right pixels and outlines, and what was lost."""
        return {**measure(keep(outputs), labels, None if reference is None else keep(reference))}

    def compare(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Closeness:
        before, after = keep(reference), keep(outputs)
        divergence = closeness.kl_by_photo(before, after)
        return Closeness(
            metrics.agreement(before, after),
            float(divergence.mean()) if len(divergence) else math.nan,
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
        """A network that ends with its logits, or their classes, in full or in its own size."""
        return with_output(graph, output)

    def describe(self, graph: Graph, labels: Sequence[str]) -> Description:
        if graph.output in graph.class_tensors:
            text = f"Semantic segmentation, {len(labels)} classes; the output is classes."
            return Description(text, tuple(labels), (CLASSES,))
        text = f"Semantic segmentation, {graph.classes} classes; the output is logits."
        return Description(text, tuple(labels), (SCORES,))


TASK = Segmentation()
