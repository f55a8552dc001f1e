"""Weights that go out: the original library loads them, and answers as the network does."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from peers import library
from prerequisites import NEEDS, needs

from edgekit.cli import run
from edgekit.converters.weights.export import LIBRARIES, export_weights
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.naming import TENSORFLOW, TORCH, to_ours, to_theirs
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Conv2D, DepthwiseConv2D, FullyConnected
from edgekit.networks.torch_network import Network
from edgekit.runs import open_run
from edgekit.runtimes.open import read_about

SIDE, CLASSES = 64, 7
LABELS = tuple("abcdefg")


def trained(name, **changes):
    """A network with statistics and scales that no default hides."""
    spec = replace(find_spec(name), **changes)
    graph = build_graph(spec, classes=CLASSES, resolution=SIDE, seed=3)
    rng = np.random.default_rng(0)
    weights = dict(graph.weights)
    for full, array in weights.items():
        suffix = full.rpartition("/")[2]
        if suffix in ("gamma", "variance"):
            weights[full] = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        if suffix in ("beta", "mean", "bias"):
            weights[full] = rng.normal(0, 0.2, array.shape).astype(np.float32)
    return spec, replace(graph, weights=weights), preprocessing_of(spec, SIDE, LABELS)


def photos():
    return np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.float32)


def ours(graph, how):
    """In float64: forty blocks of random weights make much of the rounding of float32."""
    x = (photos() - how.mean) / how.std
    with torch.inference_mode():
        fed = torch.from_numpy(x).permute(0, 3, 1, 2).double()
        return fed, Network(graph).eval().double()(fed).numpy()


def assert_same(found, wanted, tolerance=1e-6):
    assert np.abs(found - wanted).max() < tolerance * np.ptp(wanted)


@pytest.mark.parametrize("layout", [TORCH, TENSORFLOW])
def test_what_goes_out_comes_in_again(layout):
    rng = np.random.default_rng(0)
    for kind, shape in (
        (Conv2D, (3, 3, 4, 5)),
        (DepthwiseConv2D, (5, 5, 4)),
        (FullyConnected, (4, 7)),
    ):
        more = {Conv2D: {"filters": 5}, FullyConnected: {"units": 7}}.get(kind, {})
        node, array = kind(name="n", inputs=("x",), **more), rng.normal(size=shape)
        moved = to_theirs(layout, node, "n/kernel", array)
        assert np.array_equal(to_ours(layout, node, "n/kernel", moved), array)


@pytest.mark.parametrize(
    ("name", "padding", "theirs"),
    [
        ("b0", "same", "tf_efficientnet_b0"),
        ("b0", "symmetric", "efficientnet_b0"),
        ("lite0", "same", "tf_efficientnet_lite0"),
        ("v2-b0", "same", "tf_efficientnetv2_b0"),
        ("mobilenet-v2", "symmetric", "mobilenetv2_100"),
        ("mobilenet-v3-small", "symmetric", "mobilenetv3_small_100"),
    ],
)
def test_timm_loads_a_folder_and_answers_alike(tmp_path, name, padding, theirs):
    timm = library("timm")
    _, graph, how = trained(name, padding=padding)
    done = export_weights(graph, how, "timm", tmp_path / "out")
    assert done.architecture == theirs
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval().double()
    fed, wanted = ours(graph, how)
    with torch.inference_mode():
        assert_same(model(fed).numpy(), wanted)
    config = timm.data.resolve_data_config(model=model)
    assert config["mean"] == pytest.approx([value / 255 for value in how.mean])
    assert config["crop_pct"] == pytest.approx(how.crop_fraction)
    assert model.pretrained_cfg["label_names"] == list(LABELS)


@pytest.mark.parametrize("name", ["b0", "v2-s"])
def test_torchvision_loads_a_state_and_answers_alike(tmp_path, name):
    models = library("torchvision").models
    from safetensors.torch import load_file

    _, graph, how = trained(name, padding="symmetric")
    done = export_weights(graph, how, "torchvision", tmp_path)
    model = getattr(models, done.architecture)(num_classes=CLASSES).eval()
    missing, unexpected = model.load_state_dict(load_file(done.files[0]), strict=False)
    assert not unexpected
    assert all(one.endswith("num_batches_tracked") for one in missing)
    fed, wanted = ours(graph, how)
    with torch.inference_mode():
        assert_same(model.double()(fed).numpy(), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["b0", "v2-b0"])
def test_keras_loads_a_model_and_answers_alike(tmp_path, name):
    keras = pytest.importorskip("keras", reason=NEEDS["keras"].reason)
    _, graph, how = trained(name)
    done = export_weights(graph, how, "keras", tmp_path)
    model = keras.models.load_model(done.files[0])
    fed = photos() if name == "b0" else (photos() - how.mean) / how.std
    assert bool(done.notes) is (name != "b0")
    assert_same(model(fed.astype(np.float32), training=False).numpy(), ours(graph, how)[1], 2e-3)


@pytest.mark.parametrize(("library_", "source"), [("timm", "timm-tf"), ("edgekit", "edgekit")])
def test_edgekit_reads_what_it_wrote(tmp_path, library_, source):
    spec, graph, how = trained("lite0", epsilon=1e-5)
    done = export_weights(graph, how, library_, tmp_path)
    again = load_weights(done.files[0], spec, resolution=SIDE, source=source)
    assert again.graph.classes == CLASSES
    assert_same(ours(again.graph, how)[1], ours(graph, how)[1])


@needs("onnxruntime")
def test_onnx_runtime_answers_alike(tmp_path):
    import onnxruntime

    _, graph, how = trained("b0")
    done = export_weights(graph, how, "onnx", tmp_path)
    session = onnxruntime.InferenceSession(done.files[0])
    fed, wanted = ours(graph, how)
    (image,) = session.get_inputs()
    found = session.run(None, {image.name: fed.float().numpy()})[0]
    assert_same(found, wanted, 2e-3)


def test_a_segmenter_goes_out_as_a_file_though_no_library_has_it(tmp_path):
    pytest.importorskip("onnx", reason=NEEDS["onnx"].reason)
    unet = find_spec("unet-lite0")
    graph = build_graph(unet, classes=3, resolution=32, seed=1)
    how = replace(preprocessing_of(unet, 32, ("a", "b", "c")), task="segmentation")
    (path,) = export_weights(graph, how, "onnx", tmp_path).files
    assert read_about(path).task.map.classes == 3


def test_what_no_library_has_is_said(tmp_path):
    _, graph, how = trained("lite0")
    with pytest.raises(UsageError, match="unknown library 'keraz'"):
        export_weights(graph, how, "keraz", tmp_path)
    with pytest.raises(UsageError, match="is not exported to torchvision") as caught:
        export_weights(graph, how, "torchvision", tmp_path)
    assert "pad 'same'" in caught.value.cause
    _, graph, how = trained("lite0", padding="symmetric")
    with pytest.raises(UsageError, match="torchvision has no lite0"):
        export_weights(graph, how, "torchvision", tmp_path)
    spec = scale_spec(find_spec("b0"), width=0.5)
    graph = build_graph(spec, classes=3, resolution=32, seed=None)
    for name in set(LIBRARIES) - {"edgekit", "torchvision"}:
        with pytest.raises(UsageError, match="has no b0-w0"):
            export_weights(graph, preprocessing_of(spec, 32, ("a", "b", "c")), name, tmp_path)
    own = replace(find_spec("b0"), stages=find_spec("b0").stages[:5])  # and called alike
    graph = build_graph(own, classes=3, resolution=32, seed=None)
    with pytest.raises(UsageError, match="keras has no b0"):
        export_weights(graph, preprocessing_of(own, 32, ("a", "b", "c")), "keras", tmp_path)
    unet = find_spec("unet-lite0")
    graph = build_graph(unet, classes=3, resolution=32, seed=None)
    with pytest.raises(UsageError, match="only classifiers") as caught:
        export_weights(graph, preprocessing_of(unet, 32, ("a", "b", "c")), "timm", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_record_is_timms(tmp_path):
    _, graph, how = trained("lite0")
    done = export_weights(graph, how, "timm", tmp_path)
    record = json.loads(done.files[1].read_text())
    assert record["architecture"] == "tf_efficientnet_lite0"
    assert (record["num_classes"], record["num_features"]) == (CLASSES, 1280)
    assert record["pretrained_cfg"]["input_size"] == [3, SIDE, SIDE]


@pytest.mark.slow
def test_a_run_goes_out_by_the_command_line(tmp_path, capsys):
    run_folder = tmp_path / "run"
    words = f"build lite0 --width 0.1 --depth 0.1 --resolution 32 --epochs 0 --out {run_folder}"
    assert run([*words.split(), "--threads", "1", "--quiet", "--calibration-count", "16"]) == 0
    capsys.readouterr()
    assert run(["weights", "export", str(run_folder), "--to", "timm"]) == 2
    assert "timm has no lite0-w0.1-d0.1" in capsys.readouterr().err
    assert run(["weights", "export", str(run_folder), "--to", "edgekit", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["files"][0] == str(run_folder / "to-edgekit/lite0-w0.1-d0.1.graph")
    exported, kept = Graph.load(shown["files"][0]), open_run(run_folder).trained()
    assert all(np.array_equal(exported.weights[name], kept.weights[name]) for name in kept.weights)
    assert run(["weights", "export", str(run_folder), "--to", "edgekit"]) == 2
    assert "holds something already" in capsys.readouterr().err
