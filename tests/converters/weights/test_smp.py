"""Weights of segmentation_models_pytorch: all three encoders, both decoders."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow
from places import SHARED
from prerequisites import needs
from safetensors.numpy import save_file
from state_dicts import assert_same, to_torch

from edgekit.converters.weights import smp
from edgekit.converters.weights.load import load_weights
from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.networks.segmentation.taps import TAPS
from edgekit.networks.torch_network import Network

ORACLE = SHARED / "oracle" / "segmentation"
#: Of each oracle: the model, its decoder, its encoder and its parameters.
NETWORKS = {
    "unet_tu-lite0-w050": ("unet-lite0", UNet(), "tu", 1_073_747),
    "unet_b0-w050": ("unet-b0", UNet(), "lukemelas", 1_238_005),
    "deeplabv3plus_tu-lite0-w050_os16": ("deeplab-lite0", DeepLab(64), "tu", 896_243),
    "deeplabv3plus_timm-lite0-w050_os16": (
        "deeplab-lite0",
        DeepLab(48, rates=(2, 4, 6)),
        "timm",
        869_539,
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def oracle(request):
    model, decoder, flavour, parameters = NETWORKS[request.param]
    spec = scale_spec(replace(find_spec(model), decoder=decoder), width=0.5)
    loaded = load_weights(ORACLE / f"{request.param}.safetensors", spec, resolution=96)
    with np.load(ORACLE / f"{request.param}.npz") as file:
        tensors = dict(file)
    values = {}
    with torch.inference_mode():
        x = torch.from_numpy(tensors["input"])
        Network(loaded.graph).eval().run(x, lambda name, value: values.setdefault(name, value))
    return loaded, flavour, parameters, tensors, values


@needs("shared", ORACLE.is_dir())
def test_the_logits_and_every_map_are_the_originals(oracle):
    loaded, _, parameters, tensors, values = oracle
    graph = loaded.graph
    assert (loaded.source, graph.classes) == ("smp", 3)
    assert cost(graph).parameters == parameters
    logits = values[graph.output].numpy()
    assert np.abs(logits - tensors["logits"]).max() < 1e-5 * np.abs(tensors["logits"]).max()
    np.testing.assert_array_equal(logits.argmax(1), tensors["argmax"])
    decoder = values[graph.node("logits").inputs[0]].numpy()
    np.testing.assert_allclose(decoder, tensors["decoder"], atol=1e-4)
    for number in range(1, 6):
        expected = tensors[f"feature{number}"]
        assert any(
            value.shape == expected.shape and np.allclose(value, expected, atol=1e-4)
            for value in values.values()
        )


@needs("shared", ORACLE.is_dir())
def test_what_belongs_to_the_encoder_comes_with_the_weights(oracle):
    loaded, flavour, *_ = oracle
    spec = spec_of(loaded.graph)
    assert spec.decoder.taps == flavour
    assert (spec.padding, spec.epsilon) == (TAPS[flavour].padding, TAPS[flavour].epsilon)
    assert any("mean" in text for text in loaded.assumptions)


def network(flavour, decoder, classes=4, seed=5):
    """A network of ours with an encoder of smp's, with statistics unlike fresh ones."""
    name = "b0" if flavour == "lukemelas" else "lite0"
    taps = TAPS[flavour]
    spec = narrow(name, padding=taps.padding, epsilon=taps.epsilon)
    spec = spec.with_decoder(replace(decoder, taps=flavour))
    return build_graph(spec, classes=classes, resolution=32, seed=seed)


class Theirs:
    """The names of smp as `state_dicts.to_torch` takes a table."""

    def __init__(self, flavour):
        self.flavour = flavour

    def of(self, graph):
        return smp.names(graph, self.flavour)


def write(path, graph, flavour, **others):
    save_file(to_torch(graph, Theirs(flavour)) | others, path)
    return path


def asked(graph):
    """What a user asks for: the decoder without what belongs to the weights."""
    spec = spec_of(graph)
    fresh = narrow(spec.backbone.name).with_decoder(spec.decoder)
    return replace(fresh, decoder=replace(spec.decoder, taps="tu"))


DECODERS = [UNet((8, 8, 4, 4, 4)), DeepLab(8, rates=(1, 2, 3))]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("flavour", smp.ENCODERS)
def test_a_state_dict_comes_back(tmp_path, flavour, decoder):
    graph = network(flavour, decoder)
    loaded = load_weights(
        write(tmp_path / "w.safetensors", graph, flavour), asked(graph), resolution=32
    )
    assert_same(loaded.graph, graph)
    assert loaded.graph.nodes == graph.nodes
    assert spec_of(loaded.graph) == spec_of(graph)


def test_a_wrapped_state_dict_with_dead_layers_and_a_head_for_photos_is_read(tmp_path):
    graph = network("timm", DECODERS[0])
    dead = {"encoder.conv_head.weight": np.ones((4, 4, 1, 1), np.float32)}
    beside = {"classification_head.3.weight": np.ones((2, 4), np.float32)}
    state = to_torch(graph, Theirs("timm")) | dead | beside
    wrapped = {f"model.{name}": torch.from_numpy(np.array(a)) for name, a in state.items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "last.ckpt")
    loaded = load_weights(tmp_path / "last.ckpt", asked(graph), resolution=32)
    assert_same(loaded.graph, graph)
    assert sum("not used" in note for note in loaded.notes) == 2


def test_another_number_of_classes_draws_the_last_convolution(tmp_path):
    graph = network("tu", DECODERS[0])
    path = write(tmp_path / "w.safetensors", graph, "tu")
    loaded = load_weights(path, asked(graph), classes=7, resolution=32)
    assert (loaded.graph.classes, loaded.fresh_head) == (7, True)
    assert any("has 4 classes, not 7" in note for note in loaded.notes)
    changed = {n for n, a in graph.weights.items() if a.shape != loaded.graph.weights[n].shape}
    assert changed == {"logits/kernel", "logits/bias"}


def test_rates_that_nobody_names_are_smps_own_and_said_to_be_assumed(tmp_path):
    graph = network("tu", DeepLab(8, rates=(12, 24, 36)))
    spec = asked(graph)
    spec = replace(spec, decoder=replace(spec.decoder, rates=None))
    loaded = load_weights(write(tmp_path / "w", graph, "tu"), spec, resolution=32)
    assert spec_of(loaded.graph).decoder.rates == (12, 24, 36)
    assert any("atrous rates 12, 24, 36" in text for text in loaded.assumptions)


@pytest.mark.parametrize(
    ("decoder", "hint"),
    [
        (UNet((16, 8, 4, 4, 4)), "decoder='8,8,4,4,4'"),
        (UNet((8, 8)), "decoder='8,8,4,4,4'"),
        (DeepLab(8), "the model unet-lite0"),
    ],
)
def test_another_decoder_is_named_with_what_to_ask_for(tmp_path, decoder, hint):
    path = write(tmp_path / "w", network("tu", DECODERS[0]), "tu")
    with pytest.raises(UsageError, match="another decoder") as caught:
        load_weights(path, narrow("lite0").with_decoder(decoder))
    assert caught.value.hint == hint
    assert "unet with 8,8,4,4,4 channels" in caught.value.cause


def test_a_decoder_of_more_parts_is_refused(tmp_path):
    more = {"decoder.blocks.0.attention1.attention.cSE.1.weight": np.ones((2, 8, 1, 1), "f")}
    path = write(tmp_path / "w", network("tu", DECODERS[0]), "tu", **more)
    with pytest.raises(UsageError, match="not those of unet-lite0") as caught:
        load_weights(path, asked(network("tu", DECODERS[0])))
    assert "attention1" in caught.value.cause


def test_a_classifier_takes_no_weights_of_pixels(tmp_path):
    path = write(tmp_path / "w", network("tu", DECODERS[0]), "tu")
    with pytest.raises(UsageError, match="network with a decoder"):
        load_weights(path, narrow("lite0"))


def test_the_weights_of_another_backbone_are_named(tmp_path):
    path = write(tmp_path / "w", network("lukemelas", DECODERS[0]), "lukemelas")
    with pytest.raises(UsageError, match="not those of unet-lite0"):
        load_weights(path, asked(network("tu", DECODERS[0])))
