from __future__ import annotations

import numpy as np
import pytest
from tiny_tflite import TinyModel, edit, schema, with_op

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.edgetpu.limits import NO_WEIGHTS_ALONE
from edgekit.targets.edgetpu.rules import check_edgetpu


def findings(tiny: TinyModel) -> list:
    return check_edgetpu(tflite_file.parse(tiny.pack()))


def compiled(tiny: TinyModel) -> None:
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"


def custom(name: str):
    def change(tiny: TinyModel) -> None:
        compiled(tiny)
        tiny.code("CUSTOM").customCode = name.encode()

    return change


def gelu(tiny: TinyModel) -> None:
    tiny.add("gelu", [1, 5], "INT8", 0.2, 3)
    tiny.add_op("GELU", 1, ["logits"], "gelu")


def sixteen_bit(tiny: TinyModel) -> None:
    for tensor in tiny.graph.tensors:
        if tensor.type in (schema.TensorType.INT8, schema.TensorType.UINT8) and not tensor.buffer:
            tensor.type = schema.TensorType.INT16


def half_weights(tiny: TinyModel) -> None:
    """Weights of 16 bits, widened by a DEQUANTIZE before a float model reads them."""
    as_float(tiny)
    tiny.add("half", None, "FLOAT16", 0, 0, np.ones((5, 8), np.float16))
    tiny.add("wide", [5, 8], "FLOAT32", 0, 0)
    tiny.add_op("DEQUANTIZE", 2, ["half"], "wide")


def as_float(tiny: TinyModel) -> None:
    for tensor in tiny.graph.tensors:
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None


def dynamic_range(tiny: TinyModel) -> None:
    """Weights of 8 bits, everything else float: what a converter makes without photos."""
    for tensor in tiny.graph.tensors:
        if not tensor.name.endswith(b"_w"):
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None


def shape(name: str, sizes: list[int]):
    return lambda tiny: setattr(tiny.tensor(name), "shape", sizes)


def scale(name: str, value: float):
    return lambda tiny: setattr(tiny.tensor(name).quantization, "scale", [value])


@pytest.mark.parametrize(
    ("change", "rule", "severity", "says"),
    [
        (shape("image", [-1, 8, 8, 3]), "static-shape", "error", "only known at run time"),
        (shape("image", [2, 8, 8, 3]), "batch-1", "error", "batch is 2"),
        (
            lambda t: setattr(t.code("CONV_2D"), "version", 6),
            "op-version",
            "error",
            "1 CONV_2D: version 6",
        ),
        (compiled, "maps", "error", "compiled for the Edge TPU already"),
        (as_float, "quantized", "error", "Model not quantized: its operators have no 8-bit"),
        (dynamic_range, "quantized", "error", "dynamic range"),
        (scale("gate", 1 / 200), "fixed-scale", "error", "3 LOGISTIC"),
        (scale("stem", 1e-9), "no-overflow", "error", "RELU6 overflows int32"),
        (gelu, "op-version", "error", "8 GELU: version 1; TensorFlow 2.5 has none"),
        (custom("Atan"), "custom-op", "error", "3 Atan: the compiler has no such custom operator"),
        (sixteen_bit, "quantized", "error", "8-bit weights, but 16-bit activations (16x8)"),
        (half_weights, "quantized", "error", "stored as float16 and widened to float"),
        (
            shape("head_w", [5, 16_384]),
            "tile",
            "warning",
            "6 FULLY_CONNECTED: 64 of its outputs take 1.0 MB, and a tile of the chip has 505 kB",
        ),
        (lambda t: t.graph.operators.clear(), "maps", "error", "it has none"),
    ],
)
def test_each_requirement_is_broken_by_one_change(change, rule, severity, says):
    found = [f for f in findings(edit(change)) if f.rule == rule]
    assert found
    assert {f.severity for f in found} == {severity}
    assert says in str(found[0])


def test_a_newer_version_that_was_compiled_all_the_same_is_taken():
    tiny = with_op("TILE", [1, 1, 1, 16], [1, 9, 9, 16], constants=[[1, 9, 9, 1]])
    tiny.code("TILE").version = 3
    assert findings(tiny) == []
    tiny.code("TILE").version = 4
    assert [f.rule for f in findings(tiny)] == ["op-version"]


def test_large_activations_and_an_open_batch_break_no_rule():
    """Models of 15.9 MiB at an operator, and files with an open batch, were compiled whole."""

    def change(tiny: TinyModel) -> None:
        shape("depth", [1, 1024, 1024, 8])(tiny)
        tiny.tensor("image").shapeSignature = [-1, 8, 8, 3]

    assert findings(edit(change)) == []


def test_weights_that_are_widened_are_not_advised_an_output_type():
    found = findings(edit(half_weights))
    assert [f.fix for f in found if f.where.endswith("DEQUANTIZE")] == [NO_WEIGHTS_ALONE]


def test_a_good_file_has_no_findings():
    assert findings(TinyModel()) == []


def test_an_operator_that_is_left_out_is_a_warning_with_its_remedy():
    found = findings(with_op("HARD_SWISH", [8], [8]))
    assert [(f.severity, f.rule, f.where) for f in found] == [
        ("warning", "operator", "8 HARD_SWISH")
    ]
    assert "relu6" in found[0].fix


def test_warnings_do_not_refuse_a_file():
    model = tflite_file.parse(with_op("HARD_SWISH", [8], [8]).pack())
    assert [f.severity for f in check_edgetpu(model)] == ["warning"]
