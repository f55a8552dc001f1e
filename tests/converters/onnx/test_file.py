from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper
from pooled import MEAN, STD, plain, quantized
from tiny_onnx import WEIGHTS, conditional, outside, tiny
from tiny_tflite import TinyModel

from edgekit.calibration.mixed import keep_float
from edgekit.converters.onnx import file as onnx_file
from edgekit.converters.onnx.file import End, OnnxModel, check, parse, read
from edgekit.converters.onnx.package import package_onnx
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError

RECORD = Preprocessing(64, (MEAN,) * 3, (STD,) * 3, tuple("abcdef"))


@functools.cache
def graph_of(scheme):
    graph = plain("b0")
    if scheme == "fp32":
        return graph
    graph = quantized(graph)
    return graph if scheme == "w8a8-static" else keep_float(graph, [graph.nodes[2].name])


@pytest.fixture
def save(tmp_path):
    def write(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


@pytest.mark.parametrize("scheme", ["fp32", "w8a8-static", "mixed"])
@pytest.mark.parametrize("io", ["uint8", pytest.param("float32", marks=pytest.mark.slow)])
def test_our_own_files_are_described(save, scheme, io):
    contents = package_onnx(graph_of(scheme), preprocessing=RECORD, scheme=scheme, io=io)
    model = read(save(contents))
    shape = (1, 64, 64, 3) if io == "uint8" else (1, 3, 64, 64)
    assert model.scheme == scheme
    assert model.inputs == (End("input", shape, io),)
    assert model.outputs == (End("logits", (1, 6), "float32"),)
    assert (model.opset, model.ir_version, model.size_bytes) == (17, 8, len(contents))
    record = Preprocessing.from_dict(model.preprocessing)
    layout = "NHWC" if io == "uint8" else "NCHW"
    assert replace(record, mean=RECORD.mean, std=RECORD.std) == replace(
        RECORD, dtype=io, layout=layout
    )
    assert model.labels == tuple("abcdef")
    assert model.producer.startswith("edgekit ")
    assert model.metadata["author"] == "edgekit"
    assert model.operators["Sigmoid"] == sum(
        type(node).__name__ == "Activation" for node in plain("b0").nodes
    )
    assert (model.external, check(model)) == ((), [])


def quantized_operator():
    return helper.make_node("DynamicQuantizeLinear", ["map"], ["q", "s", "z"], "dynamic")


@pytest.mark.parametrize(
    ("more", "scheme"),
    [
        ([], "fp32"),
        ([quantized_operator()], "other"),
        ([helper.make_node("QLinearAdd", ["map"] * 8, ["sum"], domain="com.microsoft")], "other"),
        ([helper.make_node("QuantizeLinear", ["map", "scale"], ["q"])], "other"),
    ],
)
def test_the_scheme_of_foreign_files(more, scheme):
    assert parse(tiny(more=more).SerializeToString(), "x").scheme == scheme


def test_half_floats_are_of_another_scheme():
    half = helper.make_tensor("weights", TensorProto.FLOAT16, [1], [1.0])
    assert parse(tiny(weights=half).SerializeToString(), "x").scheme == "fp16"


@pytest.mark.parametrize(
    ("kind", "rounds_input", "scheme"),
    [
        (TensorProto.INT8, False, "w8-weight-only"),
        (TensorProto.UINT8, False, "w8-weight-only"),
        (TensorProto.INT4, False, "w4-weight-only"),
        (TensorProto.INT8, True, "w8a8-static"),
    ],
)
def test_weights_alone_may_be_small(kind, rounds_input, scheme):
    model = tiny()
    small = helper.make_tensor("small", kind, [2], [1, 1])
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    model.graph.initializer.extend([small, scale])
    conv = model.graph.node[0]
    before = [helper.make_node("DequantizeLinear", ["small", "scale"], ["wide"])]
    conv.input[1] = "wide"
    if rounds_input:
        before += [
            helper.make_node("QuantizeLinear", ["image", "scale"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale"], ["rounded"]),
        ]
        conv.input[0] = "rounded"
    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert parse(model.SerializeToString(), "x").scheme == scheme


def test_constants_count_that_a_node_holds():
    model = tiny()
    half = helper.make_tensor("", TensorProto.FLOAT16, [1], [1.0])
    node = helper.make_node("Constant", [], ["weights"], value=half)
    nodes = [node, *model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    assert parse(model.SerializeToString(), "x").scheme == "fp16"


def test_a_foreign_file_is_described_as_far_as_it_says(save):
    model = tiny(("n", 3, 4, "w"))
    model.metadata_props.add(key="edgekit", value="{")
    model.metadata_props.add(key="labels", value='"a,b"')
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3]))
    found = read(save(model))
    assert found.inputs == (End("image", ("n", 3, 4, "w"), "float32"),)
    assert found.outputs == (End("scores", None, "float32"),)
    assert (found.preprocessing, found.labels) == (None, ())
    assert found.operators == {"Conv": 1, "Flatten": 1}


@pytest.mark.parametrize(
    "contents",
    [b"", b"\x08\x08", b"nothing at all", b"\xff" * 100, TinyModel().pack(), b"\x80" * 20],
    ids=["empty", "no graph", "text", "ones", "a TFLite model", "an endless number"],
)
def test_what_is_no_model_is_refused(save, contents):
    with pytest.raises(UsageError, match="is not an ONNX model"):
        read(save(contents))


@pytest.mark.parametrize("text", [b"scores", b"Flatten", b"conv"])
def test_text_that_is_not_utf_8_is_refused(save, text):
    contents = tiny().SerializeToString()
    assert text in contents
    with pytest.raises(UsageError, match="is not an ONNX model") as raised:
        read(save(contents.replace(text, b"\xff" * len(text))))
    assert "is not text" in str(raised.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read(tmp_path / "none.onnx")


def test_a_file_beyond_protobufs_limit_is_not_even_read(tmp_path, monkeypatch):
    path = tmp_path / "large.onnx"
    path.write_bytes(bytes(100))
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 99)
    monkeypatch.setattr(onnx_file, "read_bytes", None)
    with pytest.raises(UsageError, match="is not an ONNX model") as raised:
        read(path)
    assert "2 GB" in str(raised.value)


@pytest.mark.parametrize("beside", [True, False])
def test_damaged_files_end_in_a_description_or_in_a_usage_error(tmp_path, beside):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    weights = outside("weights.bin") if beside else None
    contents = bytearray(tiny(weights=weights, more=[conditional()]).SerializeToString())
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        damaged = contents.copy()
        for at in rng.integers(0, len(damaged), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        damaged = damaged[: rng.integers(1, len(damaged) + 1)] if rng.random() < 0.3 else damaged
        try:
            model = parse(bytes(damaged), tmp_path / "model.onnx")
            assert isinstance(model.scheme, str)
            check(model)
            outcomes.add(OnnxModel)
        except UsageError:
            outcomes.add(UsageError)
    assert outcomes == {OnnxModel, UsageError}


def test_weights_beside_the_file_are_listed(save, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "weights.bin").write_bytes(bytes(8) + WEIGHTS.tobytes())
    assert read(save(tiny(weights=outside("sub/weights.bin", 8)))).external == ("sub/weights.bin",)


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../weights.bin",
        "sub/../../weights.bin",
        "..\\weights.bin",
        "\\\\server\\weights.bin",
        "C:\\weights.bin",
        "C:weights.bin",
        "*/_ORT_MEM_ADDR_/*",
        "nul\0weights.bin",
        "",
    ],
)
def test_weights_elsewhere_are_refused(save, location):
    with pytest.raises(UsageError, match="outside its own folder"):
        read(save(tiny(weights=outside(location))))


@pytest.mark.parametrize("link", ["file", "folder"])
def test_weights_behind_a_link_out_of_the_folder_are_refused(tmp_path, link):
    inside, elsewhere = tmp_path / "inside", tmp_path / "elsewhere"
    inside.mkdir()
    elsewhere.mkdir()
    (elsewhere / "weights.bin").write_bytes(WEIGHTS.tobytes())
    (inside / "own.bin").write_bytes(WEIGHTS.tobytes())
    (inside / "link").symlink_to(elsewhere / "weights.bin" if link == "file" else elsewhere)
    (inside / "near").symlink_to(inside / "own.bin")
    path = inside / "model.onnx"
    path.write_bytes(tiny(weights=outside("near")).SerializeToString())
    assert read(path).external == ("near",)
    location = "link" if link == "file" else "link/weights.bin"
    path.write_bytes(tiny(weights=outside(location)).SerializeToString())
    with pytest.raises(UsageError, match="outside its own folder"):
        read(path)


@pytest.mark.parametrize("there", [None, "folder"])
def test_missing_weights_are_named(save, tmp_path, there):
    if there:
        (tmp_path / "weights.bin").mkdir()
    with pytest.raises(UsageError, match="weights are missing") as raised:
        read(save(tiny(weights=outside("weights.bin"))))
    assert "'weights.bin'" in str(raised.value)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, WEIGHTS.nbytes + 1), (1, WEIGHTS.nbytes), (-8, 8), (8, -8)]
)
def test_weights_beyond_the_files_end_are_refused(save, tmp_path, offset, length):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(UsageError, match="lie beyond the end of"):
        read(save(tiny(weights=outside("weights.bin", offset, length))))


def in_a_node():
    node = helper.make_node("Constant", [], ["constant"], value=outside("/etc/passwd"))
    return tiny(more=[node])


def in_a_branch():
    node = conditional()
    node.attribute[0].g.initializer.append(outside("/etc/passwd"))
    return tiny(more=[node])


def in_a_sparse_tensor():
    model = tiny()
    model.graph.sparse_initializer.add().indices.CopyFrom(outside("/etc/passwd"))
    return model


def in_a_function():
    node = helper.make_node("Constant", [], ["y"], value=outside("/etc/passwd"))
    own = helper.make_function("other", "Own", [], ["y"], [node], [helper.make_opsetid("", 17)])
    return tiny(functions=[own])


def in_training():
    model = tiny()
    model.training_info.add().initialization.initializer.append(outside("/etc/passwd"))
    return model


@pytest.mark.parametrize(
    "model", [in_a_node, in_a_branch, in_a_sparse_tensor, in_a_function, in_training]
)
def test_weights_are_looked_for_in_every_corner(save, model):
    with pytest.raises(UsageError, match="outside its own folder"):
        read(save(model()))


def own_function():
    node = helper.make_node("Relu", ["x"], ["y"])
    own = helper.make_function("other", "Own", ["x"], ["y"], [node], [helper.make_opsetid("", 17)])
    return tiny(functions=[own])


@pytest.mark.parametrize(
    ("model", "rule", "where"),
    [
        (lambda: tiny(more=[conditional()]), "no-control-flow", "If 'choose'"),
        (own_function, "no-functions", "function 'Own'"),
        (
            lambda: tiny(more=[helper.make_node("Magic", ["map"], ["y"], "m", domain="other")]),
            "no-custom",
            "other.Magic 'm'",
        ),
        (
            lambda: tiny(
                more=[helper.make_node("EPContext", [], ["y"], "e", domain="com.microsoft")]
            ),
            "no-custom",
            "com.microsoft.EPContext 'e'",
        ),
    ],
)
def test_what_is_not_run_is_found(save, model, rule, where):
    (finding,) = check(save(model()))
    assert (finding.severity, finding.rule, finding.where) == ("error", rule, where)


def test_known_domains_are_allowed(save):
    node = helper.make_node("Gelu", ["map"], ["y"], domain="com.microsoft")
    standard = helper.make_node("Relu", ["y"], ["z"], domain="ai.onnx")
    model = read(save(tiny(more=[node, standard])))
    assert check(model) == []
    assert model.operators == {"Conv": 1, "Flatten": 1, "Relu": 1, "com.microsoft.Gelu": 1}


def test_records_are_json_of_any_kind(save):
    model = tiny()
    model.metadata_props.add(key="edgekit", value=json.dumps(replace(RECORD, labels=()).to_dict()))
    model.metadata_props.add(key="labels", value="[" * 100_000)
    found = read(save(model))
    assert found.preprocessing == replace(RECORD, labels=()).to_dict()
    assert found.labels == ()
