from __future__ import annotations

import pytest
from onnx import TensorProto, helper
from pooled import MEAN, STD, plain, quantized
from tiny_onnx import conditional, tiny

from edgekit.calibration.mixed import keep_float
from edgekit.converters.onnx.package import package_onnx
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.targets.onnx import OnnxTarget

RECORD = Preprocessing(64, (MEAN,) * 3, (STD,) * 3, tuple("abcdef"))


@pytest.fixture(scope="module")
def int8():
    return quantized(plain("b0"))


def check(tmp_path, contents):
    path = tmp_path / "model.onnx"
    path.write_bytes(contents)
    return [(finding.severity, finding.rule) for finding in OnnxTarget().examine(path).findings]


@pytest.mark.parametrize("io", ["uint8", "float32"])
@pytest.mark.parametrize("mixed", [True, False])
def test_our_own_files_have_no_findings_and_nothing_to_compile(tmp_path, int8, mixed, io):
    graph = keep_float(int8, [int8.nodes[2].name]) if mixed else int8
    contents = package_onnx(graph, preprocessing=RECORD, scheme="w8a8-static", io=io)
    assert check(tmp_path, contents) == []
    assert OnnxTarget().compile(OnnxTarget().examine(tmp_path / "model.onnx"), tmp_path) is None


def test_int8_weights_are_warned_of(tmp_path, int8):
    contents = package_onnx(int8, preprocessing=RECORD, scheme="w8a8-static", weights="int8")
    assert check(tmp_path, contents) == [("warning", "exact-everywhere")]


def with_two_inputs():
    model = tiny()
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return model


@pytest.mark.parametrize(
    ("model", "rules"),
    [
        (tiny, {"scheme"}),
        (lambda: tiny(opset=12), {"scheme", "opset"}),
        (with_two_inputs, {"scheme", "one-photo"}),
        (lambda: tiny(more=[conditional()]), {"scheme", "no-control-flow"}),
    ],
)
def test_other_files_have_findings(tmp_path, model, rules):
    found = check(tmp_path, model().SerializeToString())
    assert {rule for _, rule in found} == rules
    assert {severity for severity, _ in found} == {"error"}


def test_a_foreign_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not an ONNX model"):
        check(tmp_path, b"nothing")
