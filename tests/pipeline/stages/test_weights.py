"""The weights stage: what a file does not say, the photos are asked."""

import json

import pytest
from hub_server import serve_hub, timm_repository
from narrow import make_narrow
from places import SHARED
from prerequisites import needs
from safetensors.numpy import load_file, save_file
from state_dicts import to_torch

from edgekit import runs
from edgekit.converters.weights import lukemelas, timm
from edgekit.converters.weights.load import load_weights
from edgekit.data.splits import load_splits
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN, SPECS
from edgekit.networks.graph import Graph
from edgekit.options.build import BuildOptions
from edgekit.pipeline.stages.data import Data, Sources
from edgekit.pipeline.stages.weights import ADVICE, Start, Weights, files_of, find_start
from edgekit.training import outputs

FLOWERS = SHARED / "data" / "flowers" / "val"
LITE0 = SHARED / "weights" / "efficientnet-lite0_flowers5_timm.safetensors"
needs_shared = needs("shared", SHARED.is_dir())


def silent(task, done, total, note=""):
    pass


def weights(spec, start, resolution):
    data = Data(sources=Sources(), calibration_count=64, seed=0, resolution=resolution)
    spec = find_spec(spec)
    return Weights(
        data=data, spec=spec, resolution=resolution, crop=None, fit=spec.fit, start=start
    )


@pytest.mark.slow  # converters/weights/test_padding has the guess
@needs_shared
@pytest.mark.parametrize(
    ("name", "source"),
    # By its name, the second file looks like timm's own training, which it is not.
    [
        pytest.param("weights.safetensors", "timm-tf", marks=pytest.mark.slow),
        ("efficientnet_lite0.safetensors", "timm-tf"),
    ],
)
def test_photos_tell_the_padding(tmp_path, name, source):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    splits = load_splits(FLOWERS, None, None, calibration_count=64, seed=0)
    (data / runs.SPLITS).write_text(json.dumps(splits.to_dict()))
    save_file(load_file(LITE0), tmp_path / name)  # without the metadata that names the model
    stage = weights("lite0", Start(name, tmp_path / name), 96)
    detail = stage.run(out, silent, {stage.data: data}.__getitem__)
    assert detail == f"{source} weights"
    origin = json.loads((out / runs.ORIGIN).read_text())
    assert any("the padding is same: 4" in note for note in origin["notes"])
    assert not any("pads" in text for text in origin["assumptions"])
    assert spec_of(Graph.load(out / outputs.GRAPH)) == SPECS["lite0"]


def prepared(folder, start, spec):
    """Runs the stage on the built-in images; returns what it recorded, and the network."""
    data, out = folder / "data", folder / "out"
    data.mkdir()
    out.mkdir()
    (data / runs.SPLITS).write_text(json.dumps(load_splits(None, None, None).to_dict()))
    stage = weights(spec, start, 32)
    stage.run(out, silent, {stage.data: data}.__getitem__)
    return json.loads((out / runs.ORIGIN).read_text()), Graph.load(out / outputs.GRAPH)


def saved(folder, spec, names):
    graph = build_graph(SPECS[spec], classes=3, resolution=32, seed=1)
    save_file(to_torch(graph, names), folder / "w.safetensors")
    return folder / "w.safetensors"


def test_assumptions_are_recorded(tmp_path):
    path = saved(tmp_path, "b0", lukemelas.NAMES)
    origin, graph = prepared(tmp_path, Start("w", path), "b0")
    assert origin["source"] == "lukemelas"
    assert len(origin["assumptions"]) == 1
    assert origin["assumptions"][0].startswith("mean 123.675, 116.28, 103.53 and std 58.395")
    assert "a fresh one took its place" in origin["notes"][-1]
    assert spec_of(graph).mean == IMAGENET_MEAN


def test_nothing_is_assumed_of_published_weights(tmp_path):
    path = saved(tmp_path, "b0", lukemelas.NAMES)
    origin, _ = prepared(tmp_path, Published("imagenet", path, model="b0"), "b0")
    assert origin["assumptions"] == []


class Published(Start):
    """Published weights that need no download."""

    def file(self, progress, note):
        return self.path, self.url


def test_a_decoder_is_drawn_on_a_classifiers_weights_and_photos_are_padded(tmp_path, monkeypatch):
    path = saved(tmp_path, "lite0", timm.NAMES)
    origin, graph = prepared(tmp_path, Start("w", path, "timm-tf"), "unet-lite0")
    assert any("the decoder is freshly drawn" in note for note in origin["notes"])
    assert graph.shapes[graph.output] == (32, 32, 10)
    record = json.loads((tmp_path / "out" / runs.PREPROCESSING).read_text())
    assert (record["task"], record["fit"], record["crop_fraction"]) == ("segmentation", "pad", 1.0)


def test_published_weights_are_the_backbones():
    start = find_start(BuildOptions.make("unet-v2-b0", weights="imagenet"))
    assert (start.model, start.source) == ("v2-b0", "keras")
    with pytest.raises(UsageError, match=r"published weights for lite0-w0\.5"):
        find_start(BuildOptions.make("unet-lite0", weights="imagenet", width=0.5))


def test_weights_of_a_hub_bring_what_belongs_to_them(tmp_path, monkeypatch):
    make_narrow(["b0"], monkeypatch, 32)
    tag = "efficientnet_b0.ra4_e3600_r224_in1k"
    whole = build_graph(SPECS["b0"], classes=5, seed=2)
    with serve_hub(tmp_path, monkeypatch) as server:
        commit = server.publish(f"timm/{tag}", timm_repository(whole, "efficientnet_b0"))
        start = find_start(BuildOptions.make("b0", weights=tag))
        assert start.state() == ("auto", f"hf://timm/{tag}")
        origin, graph = prepared(tmp_path, start, "b0")
        assert origin["url"] == f"{server.url}/timm/{tag}/resolve/{commit}/model.safetensors"
    assert (origin["name"], origin["source"]) == (f"hf://timm/{tag}", "timm")
    assert any(commit in note for note in origin["notes"])
    assert origin["assumptions"] == []
    spec = spec_of(graph)
    assert (spec.padding, spec.crop, spec.interpolation) == ("symmetric", 0.9, "bilinear")
    assert spec.mean == spec.std == (127.5, 127.5, 127.5)
    assert (graph.weights["stem/kernel"] == whole.weights["stem/kernel"]).all()
    record = json.loads((tmp_path / "out" / runs.PREPROCESSING).read_text())
    assert record["mean"] == record["std"] == [127.5, 127.5, 127.5]


@needs("huggingface_hub")
def test_weights_of_a_hub_that_do_not_fit_are_refused_beforehand():
    tag = "tf_efficientnet_lite0.in1k"
    assert find_start(BuildOptions.make("unet-lite0", weights=tag)).hub is not None
    with pytest.raises(UsageError, match="not of b0"):
        find_start(BuildOptions.make("b0", weights=tag))
    with pytest.raises(UsageError, match=r"not of lite0-w0\.5"):
        find_start(BuildOptions.make("lite0", weights=tag, width=0.5))
    with pytest.raises(UsageError, match="neither an address nor a folder"):
        find_start(BuildOptions.make("lite0", weights=tag, mirror="no/such/folder"))


def test_hints_name_the_options_of_a_build(tmp_path):
    path = saved(tmp_path, "lite0", timm.NAMES)
    loaded = load_weights(path, SPECS["lite0"], advice=ADVICE)
    assert "say --weights-source timm" in loaded.padding_assumption
    assert loaded.padding_assumption in loaded.assumptions
    with pytest.raises(UsageError) as caught:
        load_weights(tmp_path / "missing", SPECS["lite0"], advice=ADVICE)
    assert caught.value.hint.endswith("or --weights none")


def test_the_files_of_a_checkpoint(tmp_path):
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "model.ckpt.meta", "other"):
        (tmp_path / name).write_bytes(b"")
    parts = [tmp_path / "model.ckpt.data-00000-of-00001", tmp_path / "model.ckpt.index"]
    assert files_of(tmp_path / "model.ckpt") == parts
    assert files_of(tmp_path) == parts
    assert files_of(tmp_path / "other") == [tmp_path / "other"]
