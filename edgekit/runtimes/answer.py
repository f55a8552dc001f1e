"""The answer of a .tflite file: which of its tensors it is made of, and what these stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.answer import answers_of
from edgekit.converters.tflite.detections import find_post_process
from edgekit.converters.tflite.file import Tensor, TFLiteModel
from edgekit.runtimes.base import answer_of, dequantize, join_boxes, join_rows


@dataclass(frozen=True)
class TFLiteAnswer:
    """How an answer is read.

    Attributes:
        outputs: of the file; of boxes in the order in which the operator has them.
        places: theirs among the outputs of the file.
        are_boxes: whether they are those of TFLite's detection operator.
    """

    outputs: tuple[Tensor, ...]
    places: tuple[int, ...]
    are_boxes: bool

    @classmethod
    def of(cls, model: TFLiteModel) -> TFLiteAnswer:
        """That of a file."""
        boxes = find_post_process(model)
        outputs = tuple(model.tensors[index] for index in model.outputs)
        if boxes is None:
            answers = answers_of(outputs)
            return cls(answers, tuple(range(len(answers))), False)
        places = tuple(model.outputs.index(index) for index in boxes.outputs)
        return cls(tuple(outputs[place] for place in places), places, True)

    def read(self, raw: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """One photo's answer, as `edgekit.runtimes.base.Classifier.run` has it.

        Args:
            raw: what the file gave for `outputs`, with the batch of 1.
        """
        if self.are_boxes:
            return join_boxes(*(found[0] for found in raw))
        reals = [
            dequantize(values, output.scale, output.zero_point)
            for values, output in zip(raw, self.outputs, strict=True)
        ]
        return join_rows(reals) if len(reals) > 1 else answer_of(reals[0], channels_first=False)

    def read_all(self, raw: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The answers for photos, [n, ...], from what the file gave for each, [n, ...]."""
        photos = range(len(raw[0]))
        return np.stack([self.read([values[k : k + 1] for values in raw]) for k in photos])
