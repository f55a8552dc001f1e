"""Faithful files agree operator by operator; planted faults are found at the right tensor."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from foreign_files import custom, ending_in, reshaped
from places import SHARED
from planted import CLASSES, SIDE, VARIANTS, Plant, write_files
from prerequisites import needs

import edgekit
from edgekit.converters.tflite.write import convert
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Splits
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.parity.compare import compare_executions, compare_subject
from edgekit.parity.executions import Subject
from edgekit.system.files import write_json


def subject_in(folder: Path, name: str, graph, int8) -> Subject:
    spec = VARIANTS[name]
    labels = tuple("abcdef"[:CLASSES])
    return Subject(
        folder / "int8.tflite",
        Preprocessing(SIDE, spec.mean, spec.std, labels),
        SyntheticPhotos(50, 0, "val", SIDE),
        "test",
        folder / "float.tflite",
        graph,
        int8,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Writes the files of a variant, once."""

    @functools.cache
    def write(name: str) -> Subject:
        folder = tmp_path_factory.mktemp("files")
        return subject_in(folder, name, *write_files(folder, name))

    return write


@pytest.fixture(params=list(VARIANTS))
def subject(request, written) -> Subject:
    return written(request.param)


@pytest.fixture(scope="module")
def lite0(written) -> Subject:
    return written("lite0")


def run(subject: Subject, photos: int = 3):
    return compare_subject(subject, photos, lambda *_: None)


def test_a_faithful_file_is_the_simulation(subject):
    found = run(subject)
    assert found["ok"]
    assert (found["first"], found["differences"]) == (None, [])
    assert {operator["builtin"] for operator in found["operators"]} == {0}
    assert {operator["xnnpack"] for operator in found["operators"]} <= {0, 1}
    pairs = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    exact = pairs["integer simulation", "tflite builtin"]
    assert (exact["agreement"], exact["mean_lsb"], exact["kl"]) == (1, 0, 0)
    floats = pairs["torch float", "tflite float"]
    assert floats["mean_lsb"] < 0.01
    spread = [p for (a, _), p in pairs.items() if a not in ("torch float", "tflite float")]
    assert len(spread) == 6
    assert found["noise_floor"]["mean_lsb"] == max(pair["mean_lsb"] for pair in spread)


@pytest.mark.slow
def test_every_tensor_of_the_network_has_its_ratio(subject):
    tensors = run(subject, 1)["tensors"]
    assert {t["tensor"] for t in tensors} == {
        subject.quantized.input,
        *(node.name for node in subject.quantized.nodes),
    }
    ratios = [t["sqnr_db"] for t in tensors if t["sqnr_db"] is not None]
    assert ratios == sorted(ratios)
    assert -5 < ratios[0] < ratios[-1] < 80
    # The input holds bytes, and bytes are exact.
    assert next(t for t in tensors if t["tensor"] == subject.quantized.input)["sqnr_db"] is None


@pytest.mark.parametrize("io", ["int8", "float32"])
def test_other_ends_agree_too(lite0, tmp_path, io):
    path = tmp_path / "int8.tflite"
    path.write_bytes(convert(lite0.quantized, io=io))
    assert run(replace(lite0, file=path), 2)["ok"]


def scale(plant: Plant, name: str) -> str:
    plant.quantization(name).scale[0] *= 1.01
    return name


def zero_point(plant: Plant, name: str) -> str:
    plant.quantization(name).zeroPoint[0] += 1
    return name


def swapped_outputs(plant: Plant, name: str) -> str:
    kernel = f"{name}/kernel"
    rows = plant.data(kernel).view(np.int8).reshape(plant.tensor(kernel).shape)
    rows[[0, 1]] = rows[[1, 0]]
    return kernel


def swapped_inputs(plant: Plant, name: str) -> str:
    kernel = f"{name}/kernel"
    columns = plant.data(kernel).view(np.int8).reshape(plant.tensor(kernel).shape)
    columns[..., [0, 2]] = columns[..., [2, 0]]
    return kernel


def no_activation(plant: Plant, name: str) -> str:
    options = plant.operator(name).builtinOptions
    options.fusedActivationFunction = schema.ActivationFunctionType.NONE
    return name


def weight_scale(plant: Plant, name: str) -> str:
    plant.quantization(f"{name}/kernel").scale[3] *= 1.01
    return f"{name}/kernel"


def bias(plant: Plant, name: str) -> str:
    values = plant.data(f"{name}/bias").view(np.int32)
    values[0] += 30000
    return f"{name}/bias"


#: Fault, node, kind of difference, words of its message.
FAULTS = [
    (scale, "block3a_project", "scale", "(+1.00%)"),
    (scale, "block2b_add", "scale", "(+1.00%)"),
    (scale, "pool", "scale", "(+1.00%)"),
    (zero_point, "block4a_project", "zero point", "zero point"),
    (swapped_outputs, "block3b_expand", "weights", "the same output channels in another order"),
    (swapped_inputs, "stem", "weights", "the same input channels in another order"),
    (no_activation, "block5a_expand", "activation", "NONE in the file, not RELU6"),
    (no_activation, "block1a_depthwise", "activation", "NONE in the file, not RELU6"),
    (weight_scale, "block3a_expand", "scale", "of channel 3"),
    (bias, "block2a_project", "weights", "of the integers differ"),
]


@pytest.mark.parametrize(
    ("fault", "node", "kind", "words"), FAULTS, ids=[f"{f.__name__} {n}" for f, n, *_ in FAULTS]
)
def test_a_planted_fault_is_found_at_its_tensor(lite0, tmp_path, fault, node, kind, words):
    plant = Plant(lite0.file.read_bytes(), lite0.quantized)
    tensor = fault(plant, node)
    path = tmp_path / "planted.tflite"
    path.write_bytes(plant.pack())
    found = run(replace(lite0, file=path, float_file=None, graph=None), 1)
    assert not found["ok"]
    assert [(d["tensor"], d["kind"]) for d in found["differences"]] == [(tensor, kind)]
    assert words in found["differences"][0]["message"]
    if fault is no_activation:  # an int8 output that ends at 6 or below needs no ReLU6
        return
    # The operators tell the same, without a look at what the file says of itself.
    assert found["first"] is not None
    assert found["first"]["tensor"] == node


@pytest.fixture(scope="module")
def run_folder(lite0, tmp_path_factory) -> Path:
    """What of a finished build a comparison reads."""
    folder = tmp_path_factory.mktemp("run")
    lite0.graph.save(folder / "lite0.graph")
    lite0.quantized.save(folder / "lite0-w8a8-static.graph")
    (folder / "lite0-w8a8-static.tflite").write_bytes(lite0.file.read_bytes())
    (folder / "lite0-fp32.tflite").write_bytes(lite0.float_file.read_bytes())
    photos = lite0.photos
    splits = Splits(photos, photos, photos, tuple("abcdef"), "shapes", builtin=True)
    stage = folder / "stages" / "data-0123456789ab"
    stage.mkdir(parents=True)
    write_json(stage / "splits.json", splits.to_dict())
    calibrated = folder / "stages" / "calibrate-abcdefabcdef"
    calibrated.mkdir()
    replace(lite0.quantized, quant={}).save(calibrated / "model.graph")
    manifest = {
        "model": {"name": "lite0"},
        "options": {"head": "classifier"},
        "preprocessing": lite0.preprocessing.to_dict(),
        "stages": {
            "data": {"name": "data", "key": "0123456789abcdef"},
            "calibrate": {"name": "calibrate", "key": "abcdefabcdefabcd"},
        },
    }
    write_json(folder / "manifest.json", manifest)
    return folder


def test_a_run_is_compared_on_its_own_photos(run_folder, lite0):
    found = compare_executions(run_folder, photos=3)
    assert found["ok"]
    assert (found["source"], found["photos"]) == ("shapes", 3)
    assert found["executions"] == [
        "torch float",
        "tflite float",
        "float simulation",
        "integer simulation",
        "tflite builtin",
        "tflite xnnpack",
    ]
    assert found["pairs"] == run(lite0)["pairs"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_file_alone_is_compared_with_its_float_file(lite0):
    found = compare_executions(lite0.file, float_file=lite0.float_file, photos=2)
    assert found["ok"]
    assert found["executions"][0] == "tflite float"
    assert len(found["tensors"]) == len(lite0.quantized.nodes)
    assert found["source"] == "the built-in photos"


def test_what_cannot_be_compared_is_refused(lite0, tmp_path):
    with pytest.raises(UsageError, match="not an int8 model"):
        compare_executions(lite0.float_file)
    with pytest.raises(UsageError, match="0 photos"):
        compare_executions(lite0.file, photos=0)
    with pytest.raises(UsageError, match="holds no finished run"):
        compare_executions(tmp_path)
    with pytest.raises(UsageError, match="a float file of its own"):
        compare_executions(tmp_path, float_file=lite0.float_file)
    with pytest.raises(UsageError, match="cannot read"):
        compare_executions(tmp_path / "absent.tflite")


@pytest.fixture(scope="module", params=["lite0", "v2-b0"])
def real_run(request, tmp_path_factory) -> Path:
    """Trained weights on a few real photos; the build is what takes the time."""
    data = SHARED / "data" / {"lite0": "flowers/train", "v2-b0": "imagenet-sample"}[request.param]
    weights = {
        "lite0": "efficientnet-lite0_flowers5_timm.safetensors",
        "v2-b0": "efficientnetv2-b0_imagenet_keras.weights.h5",
    }[request.param]
    folder = tmp_path_factory.mktemp("real")
    photos = sorted(data.rglob("*.jpg"))
    lists = {}
    for number, (name, count) in enumerate((("val", 40), ("calibration", 100))):
        lists[name] = folder / f"{name}.txt"
        chosen = photos[number :: len(photos) // count]
        lists[name].write_text("\n".join(map(str, chosen)))
    run = edgekit.build(
        request.param,
        data=data,
        **lists,
        weights=SHARED / "weights" / weights,
        epochs=0,
        out=folder / "out",
    )
    return run.folder


@pytest.mark.slow
@needs("shared", SHARED.is_dir())
def test_trained_networks_are_simulated_exactly_and_their_faults_are_found(real_run):
    found = compare_executions(real_run, photos=8)
    assert found["ok"], found["differences"][:3]
    pairs = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    assert pairs["integer simulation", "tflite builtin"]["mean_lsb"] == 0
    assert pairs["torch float", "tflite float"]["mean_lsb"] < 0.001
    path = Path(found["file"])
    faithful = path.read_bytes()
    graph = Graph.load(path.with_suffix(".graph"))
    rectified = "lite0" in path.name
    for fault, node in (
        (scale, "block3a_project"),
        (swapped_outputs, "block4a_expand"),
        *([(no_activation, "block4a_expand")] if rectified else []),
    ):
        plant = Plant(faithful, graph)
        tensor = fault(plant, node)
        path.write_bytes(plant.pack())
        found = compare_executions(real_run, photos=1)
        assert [d["tensor"] for d in found["differences"]] == [tensor]
        if fault is not no_activation:
            assert found["first"]["tensor"] == node


def test_scores_without_a_batch_are_refused(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(reshaped(5).pack())
    with pytest.raises(UsageError, match="photo by photo"):
        compare_executions(path)


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (ending_in("gated"), "no single list of scores"),
        (ending_in("scores", "gated"), "2 outputs"),
        (custom("TFLite_Detection_PostProcess"), "a detector"),
    ],
)
def test_what_is_no_classifier_is_refused(tmp_path, tiny, says):
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny.pack())
    with pytest.raises(UsageError, match="not an image classifier") as caught:
        compare_executions(path)
    assert says in caught.value.cause
