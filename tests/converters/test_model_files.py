from __future__ import annotations

import numpy as np
import pytest
from foreign_files import FOREIGN, ending_in, zipped
from prerequisites import NEEDS
from tiny_tflite import TinyModel

from edgekit.runtimes.open import read_about


@pytest.mark.parametrize("name", ["m.tflite", "m.TFLITE", "m"])
def test_a_tflite_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(TinyModel().pack())
    about = read_about(path)
    assert (about.scheme, about.size_bytes) == ("w8a8-static", path.stat().st_size)
    assert (about.preprocessing, about.not_a_classifier) == (None, None)


def test_what_is_no_classifier(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(ending_in("gated").pack())
    assert "[1, 4, 4, 8]" in read_about(str(path)).not_a_classifier
    path.write_bytes(zipped(TinyModel().pack(), metadata_json=b'{"task": "pose"}'))
    assert "'pose'" in read_about(path).not_a_classifier


def test_a_onnx_file_counts_its_weights():
    pytest.importorskip("onnx", reason=NEEDS["onnx"].reason)
    about = read_about(FOREIGN / "external.onnx")
    assert (about.scheme, about.size_bytes) == ("fp32", 356 + 512)


@pytest.mark.parametrize(
    ("output", "metadata", "says"),
    [
        ([1, 3], {}, None),
        (["batch", 3], {}, None),
        (None, {}, None),
        ([1, 3, 1, 1], {}, None),
        ([1, 3, 4, 4], {}, "no single list of scores"),
        ([1, 84, 8400], {}, "no single list of scores"),
        ([1], {}, "a single number"),
        ([1, 3], {"task": "classify", "names": "{0: 'a', 1: 'b', 2: 'c'}"}, None),
        ([1, 3], {"task": "detect"}, "its task is 'detect'"),
    ],
)
def test_onnx_classifiers_are_told_by_outputs_and_metadata(tmp_path, output, metadata, says):
    onnx = pytest.importorskip("onnx", reason=NEEDS["onnx"].reason)
    from tiny_onnx import tiny

    from edgekit.converters.onnx import file as onnx_file

    model = tiny()
    kind = onnx.TensorProto.FLOAT
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("scores", kind, output))
    onnx.helper.set_model_props(model, metadata)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    found = read_about(path).not_a_classifier
    assert (found is None) if says is None else (says in found)
    assert onnx_file.read(path).labels == (("a", "b", "c") if "names" in metadata else ())


def test_openvino_files_count_both_files_and_may_be_something_else(tmp_path):
    openvino = pytest.importorskip("openvino", reason=NEEDS["openvino"].reason)
    from tiny_openvino import float_graph, write

    path = write(tmp_path / "m.xml", float_graph())
    about = read_about(path)
    assert about.size_bytes == sum((tmp_path / f"m.{end}").stat().st_size for end in ("xml", "bin"))
    assert about.not_a_classifier is None
    said = path.read_text().replace('value="Classification"', 'value="ssd"')
    path.write_text(said)
    assert "its task is 'ssd'" in read_about(path).not_a_classifier
    operators = openvino.opset13
    image = operators.parameter([1, 3, 8, 8], np.float32, "image")
    map_ = operators.relu(image)
    openvino.save_model(openvino.Model([map_], [image]), tmp_path / "map.xml")
    assert "[1, 3, 8, 8]" in read_about(tmp_path / "map.xml").not_a_classifier
