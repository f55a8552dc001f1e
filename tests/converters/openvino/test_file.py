"""Untrusted IRs end in an `IRModel` or a `UsageError`, before OpenVINO sees them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from prerequisites import NEEDS
from tiny_openvino import CLASSES, LABELS, RECORD, SIDE, float_graph, int8_graph, write

pytest.importorskip("openvino", reason=NEEDS["openvino"].reason)

from edgekit.calibration.mixed import keep_float
from edgekit.converters.openvino import file as openvino_file
from edgekit.converters.openvino.checks import check, is_bytes
from edgekit.converters.openvino.file import read
from edgekit.errors import UsageError

BYTES, VALUES = (1, SIDE, SIDE, 3), (1, 3, SIDE, SIDE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("ir") / "whole.xml", int8_graph())


@pytest.fixture
def broken(whole, tmp_path):
    """Copies the model with its XML changed by a function."""

    def make(change):
        text = whole.read_text(encoding="utf-8")
        changed = change(text)
        assert changed != text
        (tmp_path / "m.xml").write_text(changed, encoding="utf-8")
        shutil.copy(whole.with_suffix(".bin"), tmp_path / "m.bin")
        return tmp_path / "m.xml"

    return make


def some_float():
    graph = int8_graph()
    return keep_float(graph, [graph.nodes[2].name])


@pytest.mark.parametrize(
    ("graph", "options", "scheme", "quantizer", "shape", "dtype"),
    [
        (float_graph, {}, "fp32", None, BYTES, "uint8"),
        (float_graph, {"half": True}, "fp16", None, BYTES, "uint8"),
        (float_graph, {"io": "float32"}, "fp32", None, VALUES, "float32"),
        (int8_graph, {}, "w8a8-static", "ours", BYTES, "uint8"),
        (int8_graph, {"io": "float32"}, "w8a8-static", "ours", VALUES, "float32"),
        (some_float, {}, "w8a8-mixed", "ours", BYTES, "uint8"),
    ],
)
def test_reads_what_was_written(tmp_path, graph, options, scheme, quantizer, shape, dtype):
    path = write(tmp_path / "m.xml", graph(), **options)
    model = read(path)
    assert (model.scheme, model.quantizer, model.labels) == (scheme, quantizer, LABELS)
    ((image,), (logits,)) = (model.inputs, model.outputs)
    assert (image.name, image.shape, image.dtype) == (graph().input, shape, dtype)
    assert is_bytes(image) == (dtype == "uint8")
    assert (logits.shape, logits.dtype) == ((1, CLASSES), "float32")
    assert logits.name == graph().output
    wanted = RECORD.of_input(dtype, "NHWC" if dtype == "uint8" else "NCHW")
    assert model.preprocessing.mean == pytest.approx(wanted.mean)
    assert replace(model.preprocessing, mean=wanted.mean, std=wanted.std) == wanted
    assert model.xml_bytes == path.stat().st_size
    assert model.bin_bytes == path.with_suffix(".bin").stat().st_size
    kernels = sum(type(node).__name__ == "Conv2D" for node in graph().nodes)
    assert model.operators["Convolution"] == kernels
    assert [f.rule for f in check(path)] == (["mixed"] if scheme == "w8a8-mixed" else [])


def test_a_file_of_others_has_neither_record_nor_labels(tmp_path):
    """Written by OpenVINO alone, with the labels of its Model API."""
    import openvino as ov
    from openvino import opset13 as ops

    image = ops.parameter([1, 3, SIDE, SIDE], np.float32)
    product = ops.matmul(ops.reduce_mean(image, [2, 3], False), np.ones((3, 2), np.float32), 0, 0)
    model = ov.Model([product], [image])
    ov.save_model(model, tmp_path / "bare.xml", compress_to_fp16=False)
    bare = read(tmp_path / "bare.xml")
    assert (bare.preprocessing, bare.labels, bare.quantizer, bare.scheme) == (
        None,
        (),
        None,
        "fp32",
    )
    model.set_rt_info("cat dog", ["model_info", "labels"])
    ov.save_model(model, tmp_path / "labels.xml")
    assert read(tmp_path / "labels.xml").labels == ("cat", "dog")


def replace_once(pattern, new):
    return lambda text: re.sub(pattern, new, text, count=1)


ENTITIES = '<!DOCTYPE net [<!ENTITY a "b"><!ENTITY c "&a;&a;">]>'
EXTERNAL = '<!DOCTYPE net SYSTEM "file:///etc/hostname">'


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda text: "", "no element"),
        (lambda text: "\0\1\2" + text, "not well-formed|invalid"),
        (lambda text: text[: len(text) // 2], "no element|unclosed|mismatched"),
        (lambda text: "<html></html>", "<html>"),
        (lambda text: "<net version='11'></net>", "<layers>"),
        (lambda text: text.replace("<net ", f"{ENTITIES}<net ", 1), "document type"),
        (lambda text: text.replace("<net ", f"{EXTERNAL}<net ", 1), "document type"),
        (lambda text: text.replace("<layers>", "<a>" * 200 + "</a>" * 200 + "<layers>"), "deep"),
        (replace_once(r'version="11"', 'version="new"'), "version is 'new'"),
        (replace_once(r'offset="\d+"', 'offset="99999999"'), "ends at"),
        (replace_once(r'offset="\d+"', 'offset="-8"'), "offset is '-8'"),
        (replace_once(r'offset="\d+"', f'offset="{"9" * 5000}"'), "offset is '9"),
        (replace_once(r' size="\d+"', ' size="1"'), "has 1 bytes"),
        (replace_once(r' size="\d+"', ""), "no 'size'"),
        (
            replace_once(r'(element_type="\w+" shape=")[^"]+"', r'\g<1>-1, 4"'),
            "shape of a constant",
        ),
        (replace_once(r'from-layer="\d+"', 'from-layer="77777"'), "77777"),
        (replace_once(r"<dim>\d+</dim>", "<dim>wide</dim>"), "wide"),
        (replace_once(r'(<labels value=")\[[^"]*"', r'\g<1>{}"'), "labels"),
        (replace_once(r'(<labels value=")\[[^"]*"', r"\g<1>" + "[" * 90000 + '"'), "labels"),
        (replace_once(r'(<preprocessing value=")[^"]*"', r'\g<1>{}"'), "preprocessing"),
    ],
)
def test_what_is_damaged_or_foreign_is_refused(broken, change, cause):
    with pytest.raises(UsageError, match="no OpenVINO model") as caught:
        read(broken(change))
    assert re.search(cause, caught.value.cause)


def test_any_byte_may_be_wrong(whole, tmp_path):
    """Each damaged file is read, or refused as it should be."""
    rng = np.random.default_rng(0)
    contents = np.frombuffer(whole.read_bytes(), np.uint8)
    shutil.copy(whole.with_suffix(".bin"), tmp_path / "m.bin")
    refused = 0
    for _ in range(60):
        damaged = contents.copy()
        places = rng.integers(0, len(damaged), 3)
        damaged[places] = rng.integers(0, 256, 3)
        (tmp_path / "m.xml").write_bytes(damaged.tobytes())
        try:
            check(tmp_path / "m.xml")
        except UsageError:
            refused += 1
    assert refused > 10


def test_sizes_are_bounded(whole, monkeypatch):
    monkeypatch.setattr(openvino_file, "MOST_XML_BYTES", 1000)
    with pytest.raises(UsageError) as caught:
        read(whole)
    assert "1000 bytes" in caught.value.cause
    monkeypatch.undo()
    monkeypatch.setattr(openvino_file, "MOST_ELEMENTS", 50)
    with pytest.raises(UsageError) as caught:
        read(whole)
    assert "too many elements" in caught.value.cause


def test_the_weights_lie_beside_it_in_its_own_folder(whole, tmp_path):
    path, weights = tmp_path / "inside" / "m.xml", tmp_path / "inside" / "m.bin"
    path.parent.mkdir()
    shutil.copy(whole, path)
    with pytest.raises(UsageError, match="cannot read"):
        read(path)
    outside = tmp_path / "secret.bin"
    shutil.copy(whole.with_suffix(".bin"), outside)
    weights.symlink_to(outside)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert "link out of its folder" in caught.value.cause
    weights.unlink()
    shutil.copy(outside, path.parent / "other.bin")
    weights.symlink_to("other.bin")
    assert read(path).labels == LABELS
    weights.unlink()
    weights.mkdir()
    with pytest.raises(UsageError, match="cannot be used"):
        read(path)
    weights.rmdir()
    weights.symlink_to("m.bin")
    with pytest.raises(UsageError):
        read(path)


@pytest.mark.parametrize("name", ["m.tflite", "m", "missing.xml"])
def test_other_names_are_refused(tmp_path, name):
    with pytest.raises(UsageError):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (replace_once('type="Clamp"', 'type="Loop"'), "control flow"),
        (replace_once('type="Clamp"', 'type="If"'), "control flow"),
        (replace_once('version="opset1"', 'version="extension"'), "opset"),
        (replace_once('version="opset1"', 'version="ie_internal_opset"'), "opset"),
        (replace_once(r"<dim>1</dim>", "<dim>-1</dim>"), "static"),
        (replace_once(r"<dim>3</dim>", "<dim>4</dim>"), "input"),
        (replace_once('precision="U8"', 'precision="I32"'), "input"),
        (replace_once('type="Clamp"', 'type="Parameter"'), "ends"),
    ],
)
def test_what_does_not_suit_is_found(broken, change, rule):
    found = check(broken(change))
    assert rule in [finding.rule for finding in found]
    assert all(finding.severity == "error" for finding in found)


def test_labels_survive_as_json(whole):
    text = whole.read_text(encoding="utf-8")
    (stored,) = re.findall(r"<labels value=[\"'](\[.*?\])[\"'] />", text)
    assert "Föhre" in stored
    assert json.dumps(LABELS[3], ensure_ascii=False) in stored.replace("&quot;", '"')


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_weights_alone_may_be_small(tmp_path, kind):
    import openvino

    operators = openvino.opset13
    image = operators.parameter([1, 3, 8, 8], np.float32, "image")
    small = operators.constant(np.ones((4, 3, 8, 8), kind))
    wide = operators.multiply(operators.convert(small, "f32"), np.float32(0.1))
    ones = (
        openvino.Strides([1, 1]),
        openvino.CoordinateDiff([0, 0]),
        openvino.CoordinateDiff([0, 0]),
    )
    map_ = operators.convolution(image, wide, *ones, openvino.Strides([1, 1]))
    openvino.save_model(openvino.Model([map_], [image]), tmp_path / "m.xml", compress_to_fp16=False)
    assert read(tmp_path / "m.xml").scheme == "w8-weight-only"
