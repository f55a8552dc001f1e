from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tiny_tflite import CHANNELS, TinyModel, float_io, schema

from edgekit.converters import tflite_file
from edgekit.targets.edgetpu_rules import check_edgetpu, unmapped

SHARED = Path(__file__).resolve().parents[3] / "shared"


def findings(tiny: TinyModel) -> list:
    return check_edgetpu(tflite_file.parse(tiny.pack()))


def with_op(name: str, shape: list, to: list, options: str | None = None, **fields) -> TinyModel:
    """The tiny model with one more operator, from an int8 tensor of `shape` to one of `to`.

    `constant` is an int32 array that the operator reads; `int8` an int8 one; `repeat` how often
    it reads the first tensor.
    """
    tiny = TinyModel()
    tiny.add("from", shape, "INT8", 0.1, 0)
    tiny.add("to", to, "INT8", 0.1, 0)
    inputs = ["from"] * fields.pop("repeat", 1)
    for i, values in enumerate(fields.pop("constants", [])):
        values = np.asarray(values)
        kind = "INT8" if values.dtype == np.int8 else "INT32"
        tiny.add(f"constant{i}", None, kind, 0.1, 0, values if kind == "INT8" else np.int32(values))
        inputs.append(f"constant{i}")
    tiny.add_op(name, 1, inputs, "to", options, **fields)
    return tiny


def edit(change) -> TinyModel:
    tiny = TinyModel()
    change(tiny)
    return tiny


def dilate(tiny: TinyModel, name: str) -> None:
    tiny.op(name).builtinOptions.dilationWFactor = 2


def shuffled(tiny: TinyModel) -> None:
    tiny.op("FULLY_CONNECTED").builtinOptions.weightsFormat = 1


def per_channel_head(tiny: TinyModel) -> None:
    for name in ("head_w", "head_b"):
        tiny.tensor(name).quantization.scale = [0.1, 0.2, 0.3, 0.4, 0.5]
        tiny.tensor(name).quantization.zeroPoint = [0] * 5


def changing_weights(tiny: TinyModel) -> None:
    tiny.tensor("stem_w").buffer = 0


def compiled(tiny: TinyModel) -> None:
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"


def shape(name: str, sizes: list[int]):
    return lambda tiny: setattr(tiny.tensor(name), "shape", sizes)


RELU6 = schema.ActivationFunctionType.RELU6
MAP = [1, 4, 4, 6]


@pytest.mark.parametrize(
    ("tiny", "rule", "severity", "says"),
    [
        (edit(shape("image", [-1, 8, 8, 3])), "static-shape", "error", "only known at run time"),
        (edit(shape("image", [2, 8, 8, 3])), "batch-1", "error", "batch is 2"),
        (
            edit(lambda t: setattr(t.tensor("image"), "shapeSignature", [-1, 8, 8, 3])),
            "open-batch",
            "warning",
            "left open",
        ),
        (
            edit(lambda t: setattr(t.code("CONV_2D"), "version", 6)),
            "op-version",
            "error",
            "1 CONV_2D: version 6",
        ),
        (edit(compiled), "maps", "error", "compiled for the Edge TPU already"),
        (with_op("GELU", MAP, MAP), "operator", "warning", "8 GELU: the operation is not"),
        (with_op("HARD_SWISH", MAP, MAP), "operator", "warning", "not supported"),
        (with_op("LEAKY_RELU", MAP, MAP), "operator", "warning", "not supported"),
        (float_io(), "operator", "warning", "float32, an unsupported data type"),
        (
            edit(lambda t: setattr(t.tensor("depth"), "quantization", None)),
            "operator",
            "warning",
            "'depth' is not quantized",
        ),
        (with_op("RELU", [2, 4, 4, 3], [2, 4, 4, 3]), "operator", "warning", "3 innermost"),
        (edit(changing_weights), "operator", "warning", "'stem_w' is not constant"),
        (edit(lambda t: dilate(t, "CONV_2D")), "operator", "warning", "dilation is 1 x 2"),
        (edit(lambda t: dilate(t, "DEPTHWISE_CONV_2D")), "operator", "warning", "dilation"),
        (edit(shuffled), "operator", "warning", "default format"),
        (edit(per_channel_head), "operator", "warning", "per channel"),
        (edit(shape("logits", [5, 1])), "operator", "warning", "not one-dimensional"),
        (
            with_op("AVERAGE_POOL_2D", MAP, MAP, "Pool2DOptions", fusedActivationFunction=RELU6),
            "operator",
            "warning",
            "fused activation, RELU6",
        ),
        (
            with_op("MAX_POOL_2D", MAP, MAP, "Pool2DOptions", fusedActivationFunction=RELU6),
            "operator",
            "warning",
            "fused activation",
        ),
        (
            with_op(
                "CONCATENATION",
                MAP,
                [1, 4, 4, 12],
                "ConcatenationOptions",
                repeat=2,
                fusedActivationFunction=RELU6,
            ),
            "operator",
            "warning",
            "fused activation",
        ),
        (
            with_op("CONCATENATION", [4], [8], constants=[np.ones(4, np.int8)]),
            "operator",
            "warning",
            "not zero",
        ),
        (
            with_op("CONCATENATION", [4], [12], repeat=2, constants=[np.zeros(4, np.int8)]),
            "operator",
            "warning",
            "with 2 tensors",
        ),
        (with_op("MEAN", MAP, MAP, constants=[[0]]), "operator", "warning", "over the batch"),
        (with_op("SUM", MAP, MAP, constants=[[0]]), "operator", "warning", "over the batch"),
        (with_op("REDUCE_MAX", MAP, MAP, constants=[[-4]]), "operator", "warning", "the batch"),
        (with_op("MEAN", MAP, MAP, constants=[[3]]), "operator", "warning", "6 channels"),
        (with_op("PACK", [4], [1, 4], "PackOptions", axis=0), "operator", "warning", "packs"),
        (
            with_op("PAD", MAP, [1, 4, 4, 8], constants=[[[1, 0], [0, 0], [0, 0], [0, 0]]]),
            "operator",
            "warning",
            "pads the batch",
        ),
        (
            with_op("PRELU", MAP, MAP, constants=[np.ones((4, 4, 6), np.int8)]),
            "operator",
            "warning",
            "alpha",
        ),
        (with_op("SOFTMAX", [1, 16001], [1, 16001]), "operator", "warning", "16001 elements"),
        (with_op("SOFTMAX", [4, 4], [4, 4]), "operator", "warning", "not one-dimensional"),
        (with_op("SQUEEZE", [5, 1, 10], [5, 10]), "operator", "warning", "squeezes"),
        (
            with_op("STRIDED_SLICE", [4], [2], constants=[[0], [4], [2]]),
            "operator",
            "warning",
            "strides",
        ),
        (
            with_op(
                "STRIDED_SLICE",
                [4],
                [4],
                "StridedSliceOptions",
                constants=[[0], [4], [1]],
                ellipsisMask=1,
            ),
            "operator",
            "warning",
            "ellipsis",
        ),
    ],
)
def test_each_rule_is_broken_by_one_change(tiny, rule, severity, says):
    found = [f for f in findings(tiny) if f.rule == rule and re.search(says, str(f))]
    assert found
    assert {f.severity for f in found} == {severity}


@pytest.mark.parametrize(
    "tiny",
    [
        TinyModel(),
        with_op("MEAN", [1, 4, 4, 8], [1, 4, 4], constants=[[3]]),
        with_op("MEAN", MAP, [1, 6], constants=[[1, 2]]),
        with_op("CONCATENATION", [4], [8], constants=[np.zeros(4, np.int8)]),
        with_op("PAD", MAP, [1, 6, 6, 6], constants=[[[0, 0], [1, 1], [1, 1], [0, 0]]]),
        with_op("PRELU", MAP, MAP, constants=[np.ones((1, 1, 6), np.int8)]),
        with_op("SOFTMAX", [1, 1000], [1, 1000]),
        with_op("SQUEEZE", [1, 5, 10], [5, 10]),
        with_op("STRIDED_SLICE", [4], [4], constants=[[0], [4], [1]]),
        with_op("AVERAGE_POOL_2D", MAP, MAP, "Pool2DOptions"),
    ],
)
def test_what_the_rules_allow_has_no_findings(tiny):
    assert findings(tiny) == []


def test_a_float_model_is_an_error():
    tiny = TinyModel()
    for tensor in tiny.graph.tensors:
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    errors = [f for f in findings(tiny) if f.severity == "error"]
    assert [f.rule for f in errors] == ["maps"]
    assert "float32" in errors[0].message


def test_lstm_states_may_be_16_bit():
    tiny = with_op("UNIDIRECTIONAL_SEQUENCE_LSTM", [1, 4, 4], [1, 4, 4])
    tiny.add("state", [1, 4], "INT16", 0.1, 0)
    tiny.graph.operators[-1].inputs.append(tiny.index("state"))
    assert findings(tiny) == []


def test_every_reason_names_its_operator():
    model = tflite_file.parse(with_op("GELU", [CHANNELS], [CHANNELS]).pack())
    assert unmapped(model) == {8: "the operation is not supported"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize(
    "name",
    [
        "deeplabv3_mnv2_dm05_pascal_quant",
        "keras_lstm_mnist_ptq",
        "mobilenet_v1_0.25_128_quant",
        "posenet_353_481_decoder",
        "split_concat",
    ],
)
def test_what_the_rules_reject_is_what_the_real_compiler_left(name):
    before = tflite_file.read(SHARED / f"edgetpu/pairs/{name}.tflite")
    after = tflite_file.read(SHARED / f"edgetpu/pairs/{name}_edgetpu.tflite")
    left = Counter(op.name for op in after.operators if op.name != "edgetpu-custom-op")
    predicted = Counter(before.operators[i].name for i in unmapped(before))
    assert predicted <= left
    assert [f for f in check_edgetpu(before) if f.severity == "error"] == []
    assert bool(predicted) == bool(left)


def test_float_operators_of_a_mixed_file_stay_off_the_tpu():
    tiny = TinyModel()
    for name in ("depth", "gate", "gated"):
        tiny.tensor(name).type = schema.TensorType.FLOAT32
    reasons = unmapped(tflite_file.parse(tiny.pack()))
    assert sorted(reasons) == [2, 3, 4, 5]  # those that write or read the three
    assert all("is float32, an unsupported data type" in reason for reason in reasons.values())
    assert [f.rule for f in findings(tiny)] == ["operator"] * 4
