"""What targets bring to a build."""

import pytest

from edgekit.options.build import BuildOptions
from edgekit.pipeline.chips import forms_of, make_offer
from edgekit.targets.registry import find


@pytest.mark.parametrize(
    ("quantizer", "quantize"),
    [("ours", "ptq"), ("ours", "qat"), ("nncf", "ptq"), ("nncf", "qat"), ("nncf-full", "ptq")],
)
def test_a_form_of_several_targets_is_written_once(quantizer, quantize):
    names = ["openvino", "qnn", "rknn"]
    options = BuildOptions.make("b0", targets=names, quantizer=quantizer, quantize=quantize)
    rows = [form.row for form in forms_of([make_offer(find(n), options) for n in names])]
    assert len(rows) == len(set(rows))
    assert ("w8a8-openvino-nncf" in rows) == (quantizer != "ours")
    assert "w8a8-onnx-nchw" in rows
