"""Whether a model file is a detector that ends with boxes, and what its outputs are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.converters.classifier import photo_problem

if TYPE_CHECKING:
    from edgekit.converters.tflite.file import TFLiteModel


@dataclass(frozen=True)
class BoxesEnd:
    """What a file answers with that ends with TFLite's detection operator.

    Attributes:
        most: boxes that it finds in a photo at most.
        classes: how many it knows.
    """

    most: int
    classes: int

    def __str__(self) -> str:
        noun = "class" if self.classes == 1 else "classes"
        return f"up to {self.most} boxes of {self.classes} {noun}"


def tflite_boxes(model: TFLiteModel) -> BoxesEnd | None:
    """The boxes that a .tflite detector answers with; None of anything else.

    It is the operator that says so, whoever wrote the file and whatever the order of its outputs.

    Raises:
        UsageError: the operator's options are damaged.
    """
    from edgekit.converters.tflite.detections import find_post_process, read_options

    op = None if photo_problem(model) else find_post_process(model)
    if op is None:
        return None
    options = read_options(op)
    if options.max_classes_per_detection != 1 or options.max_detections < 1:
        return None  # several classes for each box: rows that no reader knows how to join
    return BoxesEnd(options.max_detections, options.num_classes)
