"""A variant from Python: logits, embeddings and the pyramid, with everybody's conventions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hub_server import serve_hub, timm_repository
from narrow import make_narrow
from PIL import Image

import edgekit
from edgekit.data.boxes.anchors import Anchors
from edgekit.errors import UsageError
from edgekit.model import Model
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph, pyramid
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.segmentation.decoders import UNet

# channels of the last block at the strides 2 to 32 (the published feature pyramids)
PYRAMIDS = {
    "b0": (16, 24, 40, 112, 320),
    "b4": (24, 32, 56, 160, 448),
    "lite0": (16, 24, 40, 112, 320),
    "es": (24, 32, 48, 144, 192),
    "v2-b0": (16, 32, 48, 112, 192),
    "v2-s": (24, 48, 64, 160, 256),
    "v2-m": (24, 48, 80, 176, 512),
}


@pytest.mark.parametrize("name", SPECS)
def test_every_variant_has_a_pyramid(name):
    graph = build_graph(SPECS[name], resolution=64, seed=None)
    names = pyramid(graph)
    assert [graph.shapes[tensor][0] for tensor in names] == [32, 16, 8, 4, 2]
    channels = tuple(graph.shapes[tensor][-1] for tensor in names)
    assert channels == PYRAMIDS.get(name, channels)


@pytest.mark.parametrize("name", ["b0", "es", "v2-b0"])
@pytest.mark.parametrize("size", [(64, 64), (97, 66)])
def test_features_have_their_strides_at_any_size(name, size):
    model = edgekit.load(name, None, classes=3, resolution=64)
    with torch.inference_mode():
        maps = model.features(torch.randn(2, 3, *size))
    assert model.strides == (2, 4, 8, 16, 32)
    assert model.channels == PYRAMIDS[name]
    for stride, channels, found in zip(model.strides, model.channels, maps, strict=True):
        assert found.shape == (2, channels, *(-(-side // stride) for side in size))


def test_logits_embedding_and_features_are_of_one_network():
    model = edgekit.load("b0", None, classes=5, resolution=64, seed=3)
    assert not model.training
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits, embedding, last = model(x), model.embed(x), model.features(x)[-1]
        head = model.graph.node_weights(model.graph.nodes[-1])
        again = embedding @ torch.from_numpy(head["kernel"]) + torch.from_numpy(head["bias"])
        values = {}
        model.network.run(x, lambda name, value: values.setdefault(name, value))
    assert embedding.shape == (2, 1280)
    torch.testing.assert_close(again, logits)
    torch.testing.assert_close(last, values["block7a_project"])


def test_a_gradient_reaches_the_first_layer():
    model = edgekit.load("lite0", None, resolution=64).train()
    model.features(torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
    assert model.network.layers["stem"].kernel.grad.abs().sum() > 0
    assert model.network.layers["logits"].kernel.grad is None


def test_a_model_comes_back_from_its_file_with_its_preprocessing(tmp_path):
    spec = replace(
        SPECS["lite0"], padding="symmetric", epsilon=1e-5, crop=0.9, mean=(1.0, 2.0, 3.0)
    )
    build_graph(spec, classes=4, resolution=64, seed=5).save(tmp_path / "w.safetensors")
    model = edgekit.load("lite0", tmp_path / "w.safetensors")
    assert model.graph.classes == 4
    stem = model.graph.nodes[0]
    assert (stem.padding, stem.batch_norm) == ("symmetric", 1e-5)
    assert model.preprocessing.crop_fraction == 0.9
    assert model.preprocessing.mean == (1.0, 2.0, 3.0)


def test_a_photo_is_prepared_as_in_evaluation(tmp_path):
    model = edgekit.load("lite0", None, resolution=64)
    image = Image.fromarray(np.full((80, 100, 3), 255, np.uint8))
    image.save(tmp_path / "white.png")
    x = model.photo(tmp_path / "white.png")
    assert x.shape == (1, 3, 64, 64)
    torch.testing.assert_close(x, torch.full_like(x, (255 - 127) / 128))
    torch.testing.assert_close(model.photo(image), x)


def test_a_network_for_segmentation_gives_maps_of_logits_and_its_encoders_maps(tmp_path):
    model = edgekit.load("deeplab-lite0", None, classes=3, resolution=64, decoder="16")
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert model(x).shape == (1, 3, 64, 64)
        maps = model.features(x)
    assert model.strides == (2, 4, 8, 16, 16)
    assert model.channels == PYRAMIDS["lite0"]
    assert [found.shape[-1] for found in maps] == [32, 16, 8, 4, 4]
    assert model.photo(Image.new("RGB", (80, 40))).shape == (1, 3, 64, 64)
    assert (model.preprocessing.fit, model.preprocessing.task) == ("pad", "segmentation")
    with pytest.raises(UsageError, match="gives no embedding"):
        model.embed(x)
    model.graph.save(tmp_path / "w.safetensors")
    again = edgekit.load("deeplab-lite0", tmp_path / "w.safetensors", resolution=64, decoder="16")
    with torch.inference_mode():
        torch.testing.assert_close(again(x), model(x))


def test_a_decoder_is_given_by_its_channels_or_as_a_record():
    short = edgekit.load("unet-b0", None, classes=2, resolution=32, decoder="8,4")
    whole = edgekit.load("unet-b0", None, classes=2, resolution=32, decoder=UNet((8, 4)))
    assert short.graph.nodes == whole.graph.nodes
    with pytest.raises(UsageError, match="how many classes unet-b0 has"):
        edgekit.load("unet-b0", None)


def test_a_detector_gives_boxes_and_logits_of_its_anchors_and_its_backbones_maps():
    decoder = EfficientDet(16, 1, 1, "sum", Anchors(3.0))
    model = edgekit.load("det-lite0", None, classes=2, resolution=64, decoder=decoder)
    assert (model.graph.name, spec_of(model.graph).decoder) == ("det-lite0", decoder)
    assert model.preprocessing.anchors == decoder.anchors
    x = model.photo(Image.new("RGB", (90, 60), (200, 30, 30)))
    with torch.inference_mode():
        assert model(x).shape == (1, decoder.anchors.count(64, 64), 4 + 2)
        maps = model.features(x)
    assert [one.shape[-1] for one in maps] == [32, 16, 8, 4, 2]
    assert model.strides == (2, 4, 8, 16, 32)
    with pytest.raises(UsageError, match="gives no embedding"):
        model.embed(x)
    on_another = edgekit.load("es", None, classes=2, resolution=64, decoder=decoder)
    assert on_another.graph.name == "det-es"


def test_an_unknown_variant():
    with pytest.raises(UsageError, match="unknown model 'c0'"):
        edgekit.load("c0", None)


def _trace(model, x):
    return torch.jit.trace(model, x)


def _symbolic(model, x):
    return torch.fx.symbolic_trace(model)


def _export(model, x):
    batch = ({0: torch.export.Dim("n")},)
    return torch.export.export(model, (x,), dynamic_shapes=batch).module()


def _export_any_size(model, x):
    sides = {0: torch.export.Dim("n"), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    return torch.export.export(model, (x,), dynamic_shapes=(sides,)).module()


def narrow(name, **changes):
    spec = replace(scale_spec(SPECS[name], width=0.1, depth=0.1), **changes)
    return Model(build_graph(spec, classes=3, resolution=64, seed=1)).eval()


@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "record",
    [
        _trace,
        _symbolic,
        pytest.param(_export, marks=pytest.mark.slow),
        pytest.param(_export_any_size, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("name", "padding", "grad"),
    [
        ("b0", "same", True),
        *(
            pytest.param(name, padding, grad, marks=pytest.mark.slow)
            for name in ("b0", "lite0", "v2-b0")
            for padding in ("same", "symmetric")
            for grad in (True, False)
            if (name, padding, grad) != ("b0", "same", True)
        ),
    ],
)
def test_a_recorded_model_gives_the_same_answers(name, padding, grad, record):
    model = narrow(name, padding=padding)
    with torch.set_grad_enabled(grad):
        recorded = record(model, torch.randn(2, 3, 64, 64))
    for batch, sides in ((2, (64, 64)), (1, (64, 64)), (3, (75, 98)), (2, (67, 96))):
        if record is _export and sides != (64, 64):
            continue  # torch refuses them, unless it is asked to leave sizes open
        x = torch.randn(batch, 3, *sides)
        with torch.inference_mode():
            torch.testing.assert_close(recorded(x), model(x))


@pytest.mark.parametrize("name", ["b0", "es"])
def test_a_model_recorded_to_train_has_the_same_gradients(name):
    model = narrow(name)
    model.train().network.drop_connect = False
    logits = model.network.layers["logits"]
    logits.node = replace(logits.node, dropout=0.0)
    x = torch.randn(2, 3, 64, 64)
    found = []
    for module in (torch.fx.symbolic_trace(model), model):
        model.zero_grad()
        module.zero_grad()
        module(x).square().sum().backward()
        found.append([p.grad.clone() for _, p in sorted(module.named_parameters())])
    for ours, recorded in zip(*found, strict=True):
        torch.testing.assert_close(recorded, ours)


@pytest.mark.parametrize("word", [None, "none", "None"])
def test_random_weights_have_the_command_lines_word(word):
    model = edgekit.load("lite0", word, classes=2, resolution=32, seed=4)
    again = edgekit.load("lite0", None, classes=2, resolution=32, seed=4)
    assert torch.equal(model.network.layers["stem"].kernel, again.network.layers["stem"].kernel)


def test_weights_of_a_hub_give_the_logits_of_the_same_file(tmp_path, monkeypatch):
    make_narrow(["b0"], monkeypatch, 32)
    files = timm_repository(build_graph(SPECS["b0"], classes=5, seed=3), "tf_efficientnet_b0")
    with serve_hub(tmp_path, monkeypatch) as server:
        commit = server.publish("me/net", files)
        model = edgekit.load("b0", "hf://me/net")
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    local = edgekit.load("b0", tmp_path / "model.safetensors")
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(image), local(image))
    assert spec_of(model.graph) == spec_of(local.graph)
    assert any(commit in text for text in model.notes)
