from __future__ import annotations

import pytest
from edgetpu_packages import compiled
from foreign_files import FOREIGN
from prerequisites import NEEDS
from tiny_tflite import TinyModel

from edgekit.converters.onnx import file as onnx_file
from edgekit.converters.tflite import file as tflite_file
from edgekit.targets import registry
from edgekit.targets.schemes import describe_scheme, scheme_of


@pytest.mark.parametrize(
    ("tiny", "name", "shown"),
    [
        (compiled(), "edgetpu-compiled", "edgetpu-compiled (compiled for the Edge TPU)"),
        (TinyModel(), "w8a8-static", "w8a8-static (int8 weights, int8 activations)"),
    ],
    ids=["compiled", "plain"],
)
def test_a_compiled_file_has_the_scheme_of_its_target(tiny, name, shown):
    model = tflite_file.parse(tiny.pack())
    assert (scheme_of(model), describe_scheme(model)) == (name, shown)
    assert (registry.compiled_for(model) is not None) is (name == "edgetpu-compiled")


def test_a_custom_operator_of_another_is_no_compilation():
    tiny = TinyModel()
    tiny.graph.operators = []
    tiny.add_op("CUSTOM", 1, ["image"], "scores")
    tiny.model.operatorCodes[-1].customCode = b"another-op"
    model = tflite_file.parse(tiny.pack())
    assert (registry.compiled_for(model), scheme_of(model)) == (None, "unknown")


def test_other_formats_say_it_themselves():
    pytest.importorskip("onnx", reason=NEEDS["onnx"].reason)
    assert describe_scheme(onnx_file.read(FOREIGN / "external.onnx")) == "fp32"
