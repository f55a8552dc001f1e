from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from foreign_files import activated, arg_max, custom, ending_in, input_shape, output_shape, reshaped
from tiny_tflite import TinyModel, float_io, schema

from edgekit.converters.classifier import (
    LOGIT,
    PROBABILITY,
    count_classes,
    output_kind,
    outputs_problem,
    softmax,
    tflite_problem,
)
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.metadata import Metadata


@dataclass(frozen=True)
class End:
    shape: tuple | None
    dtype: str = "float32"


@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        ((1, 5), 5),
        ((5,), 5),
        ((1, 1, 1, 5), 5),
        ((1, 5, 1, 1), 5),
        ((5, 1), 5),
        (("batch", 5), 5),
        ((-1, 5), 5),
        (("n", 5, 1, 1), 5),
        (("n", "classes"), None),
        (("?",), None),
        (None, None),
    ],
)
def test_one_size_above_1_is_a_classifier(shape, classes):
    assert outputs_problem([End(shape)]) is None
    assert count_classes(End(shape)) == classes


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([], "it has 0 outputs"),
        ([End((1, 5)), End((1, 10, 4))], "it has 2 outputs: [1, 5], [1, 10, 4]"),
        ([End((1, 5))] * 9, "…"),
        ([End((1, 513, 513, 21))], "no single list of scores"),
        ([End((4, 5))], "no single list of scores"),
        ([End(("n", "h", "w", 21))], "no single list of scores"),
        ([End((1, 1))], "a single number"),
        ([End((1,))], "a single number"),
        ([End(())], "a single number"),
        ([End((1, 513, 513), "int64")], "its output is int64 [1, 513, 513]"),
        ([End((1,), "int64")], "int64"),
        ([End((1, 5), "string")], "string"),
        ([End((1, 5), "bool")], "bool"),
    ],
)
def test_other_outputs_are_none_of_a_classifier(ends, words):
    assert words in outputs_problem(ends)


@pytest.mark.parametrize(
    "tiny", [TinyModel(), float_io(), reshaped(1, 1, 1, 5), reshaped(1, 5, 1, 1), reshaped(5)]
)
def test_classifiers(tiny):
    assert tflite_problem(tflite_file.parse(tiny.pack()), Metadata()) is None


@pytest.mark.parametrize(
    ("tiny", "words"),
    [
        (custom("TFLite_Detection_PostProcess"), "that of a detector"),
        (custom("PosenetDecoderOp"), "that of a pose network"),
        (ending_in("gated"), "[1, 4, 4, 8]"),
        (ending_in("scores", "gated"), "2 outputs"),
        (ending_in(), "no output"),
        (arg_max(), "int64"),
        (output_shape(1, 1), "a single number"),
        (input_shape(4, 8, 8, 3), "it takes [4, 8, 8, 3], not one photo"),
        (input_shape(1, 3, 8, 8), "it takes [1, 3, 8, 8], not one photo"),
        (input_shape(1, 8, 8, 1), "not one photo"),
        (input_shape(1, 0, 0, 3), "not one photo"),
        (input_shape(), "it takes [], not one photo"),
    ],
)
def test_what_is_something_else(tiny, words):
    assert words in tflite_problem(tflite_file.parse(tiny.pack()), Metadata())


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("detect", "its task is 'detect'"),
        ("segment", "'segment'"),
        ("embed", "an embedding, not classes"),
        ("classify", None),
        ("", None),
    ],
)
def test_a_file_may_say_what_it_is(task, words):
    found = tflite_problem(tflite_file.parse(TinyModel().pack()), Metadata(task=task))
    assert (found is None) if words is None else (words in found)


def kind(tiny, scores=None, **metadata):
    model = tflite_file.parse(tiny.pack())
    values = None if scores is None else np.array([scores], np.float32)
    return output_kind(model, Metadata(**metadata), values)


def probabilities_by_range() -> TinyModel:
    tiny = TinyModel()
    for name, kind, zero_point in (("logits", "INT8", -128), ("scores", "UINT8", 0)):
        tensor = tiny.tensor(name)
        tensor.type = getattr(schema.TensorType, kind)
        tensor.quantization.scale, tensor.quantization.zeroPoint = [1 / 255], [zero_point]
    return tiny


@pytest.mark.parametrize(
    ("tiny", "scores", "metadata", "expected", "reason"),
    [
        (activated("SOFTMAX"), None, {}, PROBABILITY, "SOFTMAX"),
        (activated("LOGISTIC"), None, {}, PROBABILITY, "LOGISTIC"),
        (activated("SOFTMAX"), None, {"output": "logit"}, PROBABILITY, "SOFTMAX"),
        (activated("LOG_SOFTMAX", 16 / 256, 127), None, {}, LOGIT, "LOG_SOFTMAX"),
        (probabilities_by_range(), None, {}, PROBABILITY, "from 0 to 1"),
        (TinyModel(), None, {"output": "logit"}, LOGIT, "metadata"),
        (TinyModel(), [0.5, 0.2, 0.1, 0, 0], {"output": "probability"}, PROBABILITY, "metadata"),
        (TinyModel(), [9, 0, 0, 0, 0], {"output": "probability"}, LOGIT, "FULLY_CONNECTED"),
        (float_io(), [0.7, 0.1, 0.1, 0.05, 0.05], {}, PROBABILITY, "their sum is 1"),
        (float_io(), [0.7, 0.1, 0.1, 0.5, 0.05], {}, LOGIT, "FULLY_CONNECTED"),
        (float_io(), [3.0, -1, 0, 0, 0], {}, LOGIT, "FULLY_CONNECTED"),
        (float_io(), [np.nan, -1, 0, 0, 0], {}, LOGIT, "FULLY_CONNECTED"),
    ],
)
def test_logits_and_probabilities_are_told_apart(tiny, scores, metadata, expected, reason):
    found = kind(tiny, scores, **metadata)
    assert found[0] == expected
    assert reason in found[1]


def test_nothing_is_said_without_values():
    assert kind(float_io()) is None


def test_softmax_of_large_logits():
    found = softmax(np.array([[1000, 999, -1000], [np.nan, 0, 0]], np.float32))
    assert found[0] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0])
    assert np.isnan(found[1]).all()
