"""A network with a decoder takes the backbone of a classifier's weights, from every source."""

import numpy as np
import pytest
from narrow import narrow
from places import SHARED
from prerequisites import needs
from safetensors.numpy import save_file
from state_dicts import assert_same, to_tensorflow, to_torch, write_hdf5

from edgekit.converters.weights import keras_applications, lukemelas, smp, timm, torchvision
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.open import Advice
from edgekit.data.boxes.anchors import Anchors
from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.segmentation.decoders import DeepLab, UNet

FLOWERS = SHARED / "weights" / "efficientnet-lite0_flowers5_timm.safetensors"
DECODER = UNet((8, 8, 4, 4, 4))
UNET = narrow("b0").with_decoder(DECODER)
DETECTOR = narrow("b0").with_decoder(EfficientDet(16, 1, 1))


def write(folder, source, graph):
    """A classifier's weights as another library would write them."""
    path = folder / "w.safetensors"
    if source == "edgekit":
        graph.save(path)
    elif source == "keras":
        table = keras_applications.NAMES.of(graph)
        path = write_hdf5(folder / "w.h5", to_tensorflow(graph, table))
    else:
        names = {"timm-tf": timm, "torchvision": torchvision, "lukemelas": lukemelas}[source].NAMES
        save_file(to_torch(graph, names), path)
    return path


@pytest.fixture(scope="module")
def classifier():
    return build_graph(narrow("b0"), classes=6, resolution=32, seed=9)


@pytest.mark.parametrize("spec", [UNET, DETECTOR])
@pytest.mark.parametrize("source", ["edgekit", "keras", "timm-tf", "torchvision", "lukemelas"])
def test_the_backbone_is_the_classifiers_and_the_decoder_is_drawn(
    tmp_path, classifier, source, spec
):
    loaded = load_weights(
        write(tmp_path, source, classifier), spec, classes=3, resolution=64, seed=2
    )
    assert (loaded.source, loaded.graph.classes, loaded.graph.resolution) == (source, 3, 64)
    assert loaded.fresh_head
    assert spec_of(loaded.graph).decoder == spec.decoder
    fresh = build_graph(spec, classes=3, resolution=64, seed=2)
    for name, array in loaded.graph.weights.items():
        expected = classifier if is_backbone(name) else fresh
        np.testing.assert_array_equal(array, expected.weights[name])
    (note,) = [text for text in loaded.notes if "the decoder is freshly drawn" in text]
    assert "nothing reads" in note


def test_what_belongs_to_the_backbones_weights_comes_along(tmp_path):
    theirs = narrow("b0", padding="symmetric", epsilon=1e-5, mean=(1.0, 2.0, 3.0))
    build_graph(theirs, classes=2, resolution=32).save(tmp_path / "w")
    loaded = load_weights(tmp_path / "w", UNET, classes=3, resolution=32)
    spec = spec_of(loaded.graph)
    assert (spec.padding, spec.epsilon, spec.mean) == ("symmetric", 1e-5, (1.0, 2.0, 3.0))
    assert spec.decoder == DECODER
    assert loaded.graph.node("stem").padding == "symmetric"
    assert loaded.graph.node("decoder1_conv1").batch_norm == 1e-5


def test_an_encoder_without_a_head_is_enough(tmp_path, classifier):
    state = to_torch(classifier, timm.NAMES)
    encoder = {n: a for n, a in state.items() if not n.startswith(("conv_head", "bn2", "class"))}
    save_file(encoder, tmp_path / "encoder.safetensors")
    loaded = load_weights(tmp_path / "encoder.safetensors", UNET, classes=2, resolution=32)
    for name in filter(is_backbone, loaded.graph.weights):
        np.testing.assert_array_equal(loaded.graph.weights[name], classifier.weights[name])
    assert not any("nothing reads" in note for note in loaded.notes)
    with pytest.raises(UsageError, match="not those of"):
        load_weights(tmp_path / "encoder.safetensors", narrow("b0"))


def test_the_encoder_of_a_whole_network_is_taken_where_its_source_is_named(tmp_path):
    whole = build_graph(narrow("b0").with_decoder(UNet((16, 8))), classes=2, resolution=32)
    names = type("Names", (), {"of": staticmethod(lambda graph: smp.names(graph, "tu"))})
    save_file(to_torch(whole, names), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="another decoder"):
        load_weights(tmp_path / "w.safetensors", UNET)
    loaded = load_weights(
        tmp_path / "w.safetensors", UNET, classes=3, resolution=32, source="timm-tf"
    )
    np.testing.assert_array_equal(
        loaded.graph.weights["block1a_project/kernel"], whole.weights["block1a_project/kernel"]
    )


def test_the_number_of_classes_must_be_said_where_it_can_be(tmp_path, classifier):
    path = write(tmp_path, "edgekit", classifier)
    with pytest.raises(UsageError, match="are of a backbone") as caught:
        load_weights(path, UNET)
    assert caught.value.hint == "the number of classes: classes=N"
    assert load_weights(path, UNET, resolution=32, advice=Advice(classes=None)).graph.classes == 1


def test_a_backbone_of_other_sizes_is_named_by_its_first_tensors(tmp_path, classifier):
    path = write(tmp_path, "timm-tf", classifier)
    wider = narrow("b0", width=0.2).with_decoder(DECODER)
    with pytest.raises(UsageError, match="not those of") as caught:
        load_weights(path, wider, classes=2)
    assert "has shape" in caught.value.cause


def test_a_whole_network_of_ours_comes_back_with_its_output_stride_named(tmp_path):
    decoder = DeepLab(8, output_stride=8, rates=(1, 2, 3), skip=48, taps="timm")
    graph = build_graph(narrow("b0").with_decoder(decoder), classes=3, resolution=32, seed=4)
    graph.save(tmp_path / "w")
    same = load_weights(tmp_path / "w", narrow("b0").with_decoder(decoder), resolution=32)
    assert (same.graph.nodes, same.notes) == (graph.nodes, ())
    other = load_weights(tmp_path / "w", narrow("b0").with_decoder(DeepLab(8)), resolution=32)
    found = spec_of(other.graph).decoder
    assert (found.rates, found.taps, found.output_stride) == ((1, 2, 3), "timm", 16)
    assert other.notes == ("they were trained at output stride 8, and are used at 16",)
    for name, array in graph.weights.items():
        np.testing.assert_array_equal(other.graph.weights[name], array)


@pytest.mark.parametrize("fusion", ["fast", "sum"])
def test_a_whole_detector_of_ours_comes_back_with_what_its_weights_need(tmp_path, fusion):
    theirs = EfficientDet(16, 1, 1, fusion, Anchors(5.0), biased=False, padding="symmetric")
    graph = build_graph(narrow("b0").with_decoder(theirs), classes=3, resolution=32, seed=4)
    graph.save(tmp_path / "w")
    loaded = load_weights(tmp_path / "w", DETECTOR, resolution=32)
    assert (loaded.graph.nodes, loaded.notes) == (graph.nodes, ())
    assert spec_of(loaded.graph).decoder == theirs
    assert_same(loaded.graph, graph)
    other = load_weights(tmp_path / "w", DETECTOR, classes=2, resolution=32)
    assert (other.graph.classes, other.fresh_head) == (2, True)
    with pytest.raises(UsageError, match="of another decoder"):
        load_weights(tmp_path / "w", UNET, classes=3)
    with pytest.raises(UsageError, match="network with a decoder"):
        load_weights(tmp_path / "w", narrow("b0"), classes=3)


@needs("shared", FLOWERS.is_file())
def test_a_detector_starts_from_a_classifier_of_flowers():
    loaded = load_weights(FLOWERS, find_spec("det-lite0"), classes=3, resolution=64, seed=2)
    assert (loaded.source, loaded.graph.classes) == ("timm-tf", 3)
    classifier = load_weights(FLOWERS, find_spec("lite0"))
    kernels = [name for name in classifier.graph.weights if is_backbone(name)]
    assert len(kernels) > 200
    for name in kernels:
        np.testing.assert_array_equal(loaded.graph.weights[name], classifier.graph.weights[name])
    assert loaded.graph.node("stem").padding == "same"
