from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from pooled import MEAN, STD, pixels, plain, quantized
from tiny_onnx import conditional, tiny

from edgekit.calibration.mixed import keep_float
from edgekit.converters.onnx.package import package_onnx
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.nodes import Conv2D, FullyConnected
from edgekit.options.build import BuildOptions
from edgekit.system.host import CPUS, this_cpu
from edgekit.targets.files import Source
from edgekit.targets.onnx import KERNELS, OnnxTarget

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


@pytest.fixture(scope="module")
def positive():
    """A network whose large kernels of one sign make sums of bytes leave 16 bits."""
    graph = plain("lite0")
    kernels = [
        f"{node.name}/kernel" for node in graph.nodes if isinstance(node, (Conv2D, FullyConnected))
    ]
    weights = {name: np.abs(graph.weights[name]) for name in kernels}
    return quantized(replace(graph, weights={**graph.weights, **weights}))


def write(folder, graph, cpu):
    options = BuildOptions(model="lite0", targets=("onnx",), cpu=cpu)
    (form,) = (form for form in OnnxTarget().forms(options) if form.quantized)
    source = Source(graph, RECORD, "uint8", lambda: [pixels()], tuple, None, print)
    return form, form.write(source, folder), folder / form.file


def answers(path, precise):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", precise)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fed = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {fed: photo[None]})[0] for photo in pixels()])


@pytest.mark.parametrize("cpu", CPUS)
def test_weights_are_stored_for_the_processor(tmp_path, int8, cpu):
    form, said, path = write(tmp_path, int8, cpu)
    assert said.endswith(f", for {cpu}: {KERNELS[cpu].about}")
    stored = [t for t in onnx.load(path).graph.initializer if "/kernel/" in t.name]
    kinds = {t.data_type for t in stored if len(t.dims) > 1}
    assert kinds == {TensorProto.UINT8 if cpu == "any" else TensorProto.INT8}
    assert dict(form.reads).get("cpu", "any") == cpu
    warned = [("warning", "exact-everywhere")] if cpu == "vnni" else []
    assert check(tmp_path, path.read_bytes()) == warned


def test_auto_is_this_processor(tmp_path, int8):
    form, said, path = write(tmp_path, int8, "auto")
    found = path.read_bytes()
    own, _, expected = write(tmp_path, int8, this_cpu())
    assert (form.reads, found) == (own.reads, expected.read_bytes())
    assert f", for {this_cpu()}, as this processor: " in said


def test_fitted_kernels_are_exact_with_the_fast_kernels_too(tmp_path, positive):
    *_, path = write(tmp_path, positive, "avx2")
    np.testing.assert_array_equal(answers(path, "0"), answers(path, "1"))


@pytest.mark.skipif(this_cpu() != "avx2", reason="the others' sums do not saturate")
def test_kernels_as_they_are_are_not(tmp_path, positive):
    *_, path = write(tmp_path, positive, "vnni")
    assert np.abs(answers(path, "0") - answers(path, "1")).max() > 0


def test_the_file_for_vnni_has_the_answers_of_the_file_for_any(tmp_path, positive):
    exact = [answers(write(tmp_path, positive, cpu)[-1], "1") for cpu in ("any", "vnni")]
    np.testing.assert_array_equal(*exact)


def test_a_processor_needs_a_target_that_reads_it():
    with pytest.raises(UsageError, match="--cpu needs --target onnx"):
        BuildOptions(model="b0", targets=("tflite",), cpu="avx2")
    with pytest.raises(UsageError, match="--cpu 'avx512' is not known"):
        BuildOptions(model="b0", targets=("onnx",), cpu="avx512")


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
