from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from tiny_tflite import CHANNELS, TinyModel, float_io, schema

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.checks import INT8_RULES, MIXED_RULES, check_int8, check_mixed
from edgekit.converters.tflite.op_versions import OP_VERSIONS_TF_2_5


def findings(tiny: TinyModel) -> list:
    return check_int8(tflite_file.parse(tiny.pack()))


def test_a_good_model_has_no_findings():
    assert findings(TinyModel()) == []


def test_float_at_the_ends_is_allowed_and_reported():
    found = findings(float_io())
    assert [(f.severity, f.rule) for f in found] == [("warning", "float-ends")] * 2


def rename(tiny: TinyModel, name: str, other: str, version: int = 1) -> None:
    code = tiny.code(name)
    code.builtinCode = getattr(schema.BuiltinOperator, other)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version


def float_inside(tiny: TinyModel) -> None:
    tiny.tensor("depth").type = schema.TensorType.FLOAT32


def float_input_without_quantize(tiny: TinyModel) -> None:
    tiny.graph.operators.pop(0)
    tiny.graph.inputs = [tiny.index("pixels")]
    tiny.tensor("pixels").type = schema.TensorType.FLOAT32


def dynamic_shape(tiny: TinyModel) -> None:
    tiny.tensor("image").shapeSignature = [-1, 8, 8, 3]


def batch_of_two(tiny: TinyModel) -> None:
    tiny.tensor("image").shape = [2, 8, 8, 3]


def two_subgraphs(tiny: TinyModel) -> None:
    tiny.model.subgraphs.append(tiny.graph)


def internal_uint8(tiny: TinyModel) -> None:
    tiny.tensor("depth").type = schema.TensorType.UINT8


def internal_int16(tiny: TinyModel) -> None:
    tiny.tensor("depth").type = schema.TensorType.INT16


def int32_activation(tiny: TinyModel) -> None:
    tiny.tensor("depth").type = schema.TensorType.INT32


def custom_operator(tiny: TinyModel) -> None:
    rename(tiny, "LOGISTIC", "CUSTOM")
    tiny.code("CUSTOM").customCode = b"mine"


def new_version(tiny: TinyModel) -> None:
    tiny.code("CONV_2D").version = 6


def two_activation_scales(tiny: TinyModel) -> None:
    tiny.tensor("depth").quantization.scale = [0.1, 0.2]
    tiny.tensor("depth").quantization.zeroPoint = [0, 0]


def no_activation_scale(tiny: TinyModel) -> None:
    tiny.tensor("depth").quantization = None


def zero_scale(tiny: TinyModel) -> None:
    tiny.tensor("depth").quantization.scale = [0.0]


def zero_point_out_of_range(tiny: TinyModel) -> None:
    tiny.tensor("depth").quantization.zeroPoint = [200]


def sigmoid_scale(tiny: TinyModel) -> None:
    tiny.tensor("gate").quantization.scale = [1 / 255]


def sigmoid_zero_point(tiny: TinyModel) -> None:
    tiny.tensor("gate").quantization.zeroPoint = [0]


def pool_that_rescales(tiny: TinyModel) -> None:
    rename(tiny, "LOGISTIC", "MAX_POOL_2D")


def weight_zero_point(tiny: TinyModel) -> None:
    tiny.tensor("stem_w").quantization.zeroPoint = [1] * CHANNELS


def weight_minus_128(tiny: TinyModel) -> None:
    tiny.data("stem_w", np.full((CHANNELS, 3, 3, 3), -128, np.int8))


def weight_axis(tiny: TinyModel) -> None:
    tiny.tensor("depth_w").quantization.quantizedDimension = 0


def too_few_weight_scales(tiny: TinyModel) -> None:
    for name in ("stem_w", "stem_b"):
        tiny.tensor(name).quantization.scale = [0.1] * 3
        tiny.tensor(name).quantization.zeroPoint = [0] * 3


def weights_not_stored(tiny: TinyModel) -> None:
    tiny.tensor("stem_w").buffer = 0


def weights_cut_short(tiny: TinyModel) -> None:
    tiny.data("stem_w", np.ones(5, np.int8))


def bias_scale(tiny: TinyModel, off: float = 4e-6) -> None:
    quantization = tiny.tensor("stem_b").quantization
    quantization.scale = [s * (1 + off) for s in quantization.scale]


def bias_zero_point(tiny: TinyModel) -> None:
    tiny.tensor("stem_b").quantization.zeroPoint = [1] * CHANNELS


def bias_not_stored(tiny: TinyModel) -> None:
    tiny.tensor("stem_b").buffer = 0


def float_bias(tiny: TinyModel) -> None:
    tiny.tensor("stem_b").type = schema.TensorType.FLOAT32


@pytest.mark.parametrize(
    ("breaks", "rule", "says"),
    [
        (float_inside, "no-float", "tensor 'depth': it is float32"),
        (float_input_without_quantize, "no-float", "tensor 'pixels'"),
        (dynamic_shape, "static-shape", "tensor 'image'"),
        (batch_of_two, "batch-1", r"\[2, 8, 8, 3\]"),
        (two_subgraphs, "one-subgraph", "2 subgraphs"),
        (internal_uint8, "8-bit", "tensor 'depth': it is uint8"),
        (internal_int16, "8-bit", "int16"),
        (int32_activation, "8-bit", "int32"),
        (lambda t: rename(t, "LOGISTIC", "PADV2"), "no-pad-no-transpose", "3 PADV2"),
        (lambda t: rename(t, "LOGISTIC", "MIRROR_PAD"), "no-pad-no-transpose", "3 MIRROR_PAD"),
        (lambda t: rename(t, "LOGISTIC", "TRANSPOSE"), "no-pad-no-transpose", "3 TRANSPOSE"),
        (lambda t: rename(t, "LOGISTIC", "RELU6"), "fused-activation", "3 RELU6"),
        (lambda t: rename(t, "LOGISTIC", "RELU"), "fused-activation", "3 RELU"),
        (custom_operator, "no-custom", "3 mine"),
        (new_version, "op-version", "1 CONV_2D: version 6; TensorFlow 2.5 runs up to 5"),
        (lambda t: rename(t, "LOGISTIC", "GELU"), "op-version", "TensorFlow 2.5 has none"),
        (two_activation_scales, "activation-scale", "2 scales"),
        (no_activation_scale, "activation-scale", "0 scales"),
        (zero_scale, "activation-scale", "scale is 0.0"),
        (zero_point_out_of_range, "activation-scale", "200"),
        (sigmoid_scale, "fixed-scale", "3 LOGISTIC"),
        (sigmoid_zero_point, "fixed-scale", "zero point 0"),
        (pool_that_rescales, "same-scale", "tensor 'depth'"),
        (weight_zero_point, "weights", "zero point"),
        (weight_minus_128, "weights", "-128"),
        (weight_axis, "weights", "axis 0, not 3"),
        (too_few_weight_scales, "weights", "3 scales for 8 channels"),
        (weights_not_stored, "weights", "not stored"),
        (weights_cut_short, "weights", "not stored"),
        (bias_scale, "bias", "input scale x weight scale"),
        (bias_zero_point, "bias", "zero points"),
        (bias_not_stored, "bias", "not stored"),
        (float_bias, "no-float", "stem_b"),
    ],
)
def test_each_rule_is_broken_by_one_change(breaks: Callable, rule: str, says: str):
    tiny = TinyModel()
    breaks(tiny)
    found = [f for f in findings(tiny) if f.rule == rule]
    assert found
    assert any(re.search(says, str(f)) for f in found)
    assert all(f.severity == "error" and f.fix for f in found)


def test_torchs_padding_is_allowed_and_reported():
    tiny = TinyModel()
    rename(tiny, "LOGISTIC", "PAD")
    (found,) = [f for f in findings(tiny) if f.rule == "padding"]
    assert found.severity == "warning"
    assert "torch's symmetric padding" in found.message


def test_a_rounded_bias_scale_is_accepted():
    tiny = TinyModel()
    quantization = tiny.tensor("stem_b").quantization
    quantization.scale = [s * (1 + 1e-7) for s in quantization.scale]
    assert findings(tiny) == []


def test_per_tensor_weights_are_accepted():
    tiny = TinyModel()
    for name in ("stem_w", "stem_b"):
        quantization = tiny.tensor(name).quantization
        quantization.scale, quantization.zeroPoint = quantization.scale[:1], [0]
    assert findings(tiny) == []


def half_float_gate() -> TinyModel:
    """The tiny model whose sigmoid is float, with the borders that this takes."""
    tiny = TinyModel()
    for name in ("depth_f", "gate_f"):
        tiny.add(name, [1, 4, 4, CHANNELS], "FLOAT32", 0, 0)
    tiny.op("LOGISTIC").inputs = [tiny.index("depth_f")]
    tiny.op("LOGISTIC").outputs = [tiny.index("gate_f")]
    tiny.add_op("DEQUANTIZE", 2, ["depth"], "depth_f", "DequantizeOptions")
    tiny.graph.operators.insert(3, tiny.graph.operators.pop())
    tiny.add_op("QUANTIZE", 1, ["gate_f"], "gate", "QuantizeOptions")
    tiny.graph.operators.insert(5, tiny.graph.operators.pop())
    return tiny


def test_float_operators_are_allowed_in_a_mixed_file_only():
    model = tflite_file.parse(half_float_gate().pack())
    assert check_mixed(model) == []
    assert {f.rule for f in check_int8(model)} == {"no-float"}


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (lambda t: setattr(t.tensor("gate_f"), "type", schema.TensorType.INT8), "LOGISTIC"),
        (float_inside, "2 DEPTHWISE_CONV_2D: its tensors are float32 and int8"),
    ],
)
def test_an_operator_of_a_mixed_file_has_one_type(breaks: Callable, says: str):
    tiny = half_float_gate()
    breaks(tiny)
    found = [f for f in check_mixed(tflite_file.parse(tiny.pack())) if f.rule == "one-type"]
    assert any(says in str(f) for f in found)
    assert all(f.severity == "error" and f.fix for f in found)


def test_the_int8_part_of_a_mixed_file_keeps_its_rules():
    kept = {rule.name for rule in MIXED_RULES}
    assert kept == {rule.name for rule in INT8_RULES} - {"no-float"} | {"one-type"}
    tiny = half_float_gate()
    bias_scale(tiny, 3e-4)  # as TensorFlow's converter rounds them there
    assert check_mixed(tflite_file.parse(tiny.pack())) == []
    bias_scale(tiny, 2e-3)
    assert {f.rule for f in check_mixed(tflite_file.parse(tiny.pack()))} == {"bias"}


def test_every_rule_has_a_test():
    tested = test_each_rule_is_broken_by_one_change.pytestmark[0].args[1]
    # Of a detector's end: test_detections; of sums: test_sums.
    elsewhere = {"float-ends", "padding", "lost-class", "sum-scales"}
    assert {rule for _, rule, _ in tested} | elsewhere == {rule.name for rule in INT8_RULES}


@pytest.mark.parametrize(
    ("name", "version"),
    [("CONV_2D", 5), ("DEPTHWISE_CONV_2D", 6), ("FULLY_CONNECTED", 9), ("MEAN", 3), ("ADD", 3)],
)
def test_versions_known_from_the_release_notes(name, version):
    assert OP_VERSIONS_TF_2_5[name] == version


def test_the_version_table_names_operators_of_the_schema():
    known = {k for k in vars(schema.BuiltinOperator) if not k.startswith("_")}
    assert set(OP_VERSIONS_TF_2_5) < known
    assert len(OP_VERSIONS_TF_2_5) == 135
