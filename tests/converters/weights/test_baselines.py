"""Weights of networks that are not the family's: names, what comes with them, what is refused."""

import json

import numpy as np
import pytest
from baseline_files import graph_of, narrow_baseline, state_of
from safetensors.numpy import save_file
from state_dicts import assert_same, to_tensorflow, write_hdf5

from edgekit.converters.weights import keras_baselines, timm, torchvision
from edgekit.converters.weights.load import load_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.baselines import BASELINES, HALF, baseline_of
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN

EXAMPLES = [  # ours to theirs, looked up in their state dicts and models
    (torchvision.MOBILENET_V2, "mobilenet-v2", "stem/gamma", "features.0.1.weight"),
    (torchvision.MOBILENET_V2, "mobilenet-v2", "block1a_project/beta", "features.1.conv.2.bias"),
    (
        torchvision.MOBILENET_V2,
        "mobilenet-v2",
        "block2a_depthwise/kernel",
        "features.2.conv.1.0.weight",
    ),
    (torchvision.MOBILENET_V2, "mobilenet-v2", "head/kernel", "features.18.0.weight"),
    (
        torchvision.MOBILENET_V3,
        "mobilenet-v3-small",
        "block1a_se_reduce/bias",
        "features.1.block.1.fc1.bias",
    ),
    (
        torchvision.MOBILENET_V3,
        "mobilenet-v3-small",
        "block1a_project/kernel",
        "features.1.block.2.0.weight",
    ),
    (
        torchvision.MOBILENET_V3,
        "mobilenet-v3-small",
        "block2b_project/mean",
        "features.3.block.2.1.running_mean",
    ),
    (torchvision.MOBILENET_V3, "mobilenet-v3-small", "head/gamma", "features.12.1.weight"),
    (torchvision.MOBILENET_V3, "mobilenet-v3-small", "hidden/bias", "classifier.0.bias"),
    (torchvision.MNASNET, "mnasnet-b1", "block1a_project/kernel", "layers.6.weight"),
    (torchvision.MNASNET, "mnasnet-b1", "block2a_depthwise/gamma", "layers.8.0.layers.4.weight"),
    (torchvision.MNASNET, "mnasnet-b1", "block7a_project/kernel", "layers.13.0.layers.6.weight"),
    (torchvision.RESNET, "resnet-50", "block1a_shortcut/beta", "layer1.0.downsample.1.bias"),
    (torchvision.RESNET, "resnet-50", "block3f_conv3/kernel", "layer3.5.conv3.weight"),
    (torchvision.RESNET, "resnet-18", "logits/kernel", "fc.weight"),
    (timm.NAMES, "mobilenet-v1", "block2b_project/gamma", "blocks.1.1.bn2.weight"),
    (timm.NAMES_V3, "mobilenet-v3-large", "block4d_expand/kernel", "blocks.3.3.conv_pw.weight"),
    (timm.NAMES_V3, "mobilenet-v3-large", "head/kernel", "blocks.6.0.conv.weight"),
    (timm.NAMES_V3, "mobilenet-v3-small", "head/gamma", "blocks.5.0.bn1.weight"),
    (timm.NAMES_V3, "mobilenet-v3-small", "hidden/bias", "conv_head.bias"),
    (keras_baselines.MOBILENET_V1, "mobilenet-v1", "block1a_depthwise/gamma", "conv_dw_1_bn/gamma"),
    (keras_baselines.MOBILENET_V1, "mobilenet-v1", "block5b_project/kernel", "conv_pw_13/kernel"),
    (
        keras_baselines.MOBILENET_V2,
        "mobilenet-v2",
        "block1a_project/beta",
        "expanded_conv_project_BN/beta",
    ),
    (
        keras_baselines.MOBILENET_V2,
        "mobilenet-v2",
        "block7a_expand/kernel",
        "block_16_expand/kernel",
    ),
    (
        keras_baselines.MOBILENET_V3,
        "mobilenet-v3-small",
        "block1a_se_expand/bias",
        "expanded_conv_squeeze_excite_conv_1/bias",
    ),
    (
        keras_baselines.MOBILENET_V3,
        "mobilenet-v3-small",
        "block2b_depthwise/mean",
        "expanded_conv_2_depthwise_bn/moving_mean",
    ),
    (keras_baselines.MOBILENET_V3, "mobilenet-v3-small", "hidden/kernel", "conv_2/kernel"),
]


@pytest.mark.parametrize(("names", "model", "ours", "theirs"), EXAMPLES)
def test_names(names, model, ours, theirs):
    table = names.of(graph_of(model))
    assert table[ours] == theirs
    assert len(set(table.values())) == len(table)


STATE_DICTS = {  # names, epsilon, the red mean, crop
    **{
        ("torchvision", model): (names, epsilon, IMAGENET_MEAN[0], 224 / 256)
        for model, names, epsilon in (
            ("mobilenet-v2", torchvision.MOBILENET_V2, 1e-5),
            ("mobilenet-v3-large", torchvision.MOBILENET_V3, 1e-3),
            ("mobilenet-v3-small", torchvision.MOBILENET_V3, 1e-3),
            ("mnasnet-b1", torchvision.MNASNET, 1e-5),
            ("resnet-18", torchvision.RESNET, 1e-5),
            ("resnet-50", torchvision.RESNET, 1e-5),
        )
    },
    ("timm", "mobilenet-v1"): (timm.NAMES, 1e-5, 127.5, 0.875),
    ("timm", "mobilenet-v2"): (timm.NAMES, 1e-5, IMAGENET_MEAN[0], 0.875),
    ("timm", "mnasnet-a1"): (timm.NAMES, 1e-5, IMAGENET_MEAN[0], 0.875),
    ("timm", "mnasnet-b1"): (timm.NAMES, 1e-5, IMAGENET_MEAN[0], 0.875),
    ("timm-tf", "mobilenet-v3-large-minimalistic"): (timm.NAMES_V3, 1e-3, 127.5, 0.875),
    ("timm-tf", "mobilenet-v3-small"): (timm.NAMES_V3, 1e-3, 127.5, 0.875),
}


@pytest.mark.parametrize(("source", "model"), STATE_DICTS)
def test_a_state_dict_comes_back_with_its_preprocessing(source, model, tmp_path):
    names, epsilon, mean, crop = STATE_DICTS[source, model]
    graph = graph_of(model)
    save_file(state_of(graph, names), tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", narrow_baseline(model), resolution=32)
    assert loaded.source == source
    assert_same(loaded.graph, graph)
    spec = spec_of(loaded.graph)
    assert (spec.epsilon, spec.mean[0], spec.crop) == (epsilon, mean, crop)
    assert spec.padding == ("same" if source == "timm-tf" else "symmetric")
    assert loaded.graph.node("stem").batch_norm == epsilon


def test_weights_that_were_published_later_are_cropped_less(tmp_path):
    path = tmp_path / "resnet50-11ad3fa6.pth"
    save_file(state_of(graph_of("resnet-50"), torchvision.RESNET), path)
    assert spec_of(load_weights(path, narrow_baseline("resnet-50")).graph).crop == 224 / 232


@pytest.mark.parametrize(
    ("file", "source", "is_assumed"),
    [
        ("mobilenetv3_small_100.lamb_in1k.pth", "timm", False),
        ("tf_mobilenetv3_small_100.in1k.pth", "timm-tf", False),
        ("w.pth", "timm-tf", True),
    ],
)
def test_whose_training_it_was_is_in_the_name_of_timms_file(file, source, is_assumed, tmp_path):
    save_file(state_of(graph_of("mobilenet-v3-small"), timm.NAMES_V3), tmp_path / file)
    loaded = load_weights(tmp_path / file, narrow_baseline("mobilenet-v3-small"))
    assert loaded.source == source
    assert any("does not say how the network pads" in note for note in loaded.said) == is_assumed


def test_a_hubs_record_decides(tmp_path):
    record = {"architecture": "mobilenetv3_small_100", "pretrained_cfg": {"crop_pct": 0.9}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    path = tmp_path / "model.safetensors"
    save_file(state_of(graph_of("mobilenet-v3-small"), timm.NAMES_V3), path)
    loaded = load_weights(path, narrow_baseline("mobilenet-v3-small"))
    assert (loaded.source, spec_of(loaded.graph).crop) == ("timm", 0.9)


KERAS = {
    "mobilenet-v1": (keras_baselines.MOBILENET_V1, "conv_preds/kernel"),
    "mobilenet-v2": (keras_baselines.MOBILENET_V2, None),
    "mobilenet-v3-large-minimalistic": (keras_baselines.MOBILENET_V3, "logits/kernel"),
    "mobilenet-v3-small": (keras_baselines.MOBILENET_V3, "logits/kernel"),
}


def keras_file(path, model):
    """A legacy file, whose layers carry their names; some give logits by a 1x1 convolution."""
    names, convolution = KERAS[model]
    graph = graph_of(model)
    variables = to_tensorflow(graph, names.of(graph))
    if convolution:
        variables[convolution] = variables[convolution][None, None]
    return graph, write_hdf5(path, {f"{name}:0": array for name, array in variables.items()})


@pytest.mark.parametrize("model", KERAS)
def test_a_file_of_keras_comes_back(model, tmp_path):
    graph, path = keras_file(tmp_path / "w.h5", model)
    loaded = load_weights(path, narrow_baseline(model), resolution=32)
    assert loaded.source == "keras"
    assert_same(loaded.graph, graph)
    spec = spec_of(loaded.graph)
    assert (spec.padding, spec.epsilon, spec.mean, spec.std) == ("same", 1e-3, HALF, HALF)


def test_another_number_of_classes_gets_a_fresh_classifier(tmp_path):
    path = keras_file(tmp_path / "w.h5", "mobilenet-v1")[1]
    loaded = load_weights(path, narrow_baseline("mobilenet-v1"), classes=3)
    assert (loaded.fresh_head, loaded.graph.classes) == (True, 3)


def test_a_resnet_of_keras_is_refused_as_it_is_another_network(tmp_path):
    variables = {"conv1_conv/kernel:0": np.zeros((7, 7, 3, 8), np.float32)}
    path = write_hdf5(tmp_path / "w.h5", variables)
    with pytest.raises(UsageError, match="Keras' ResNet") as caught:
        load_weights(path, BASELINES["resnet-50"])
    assert "v1.5" in caught.value.cause


def test_what_keras_does_not_have_is_refused(tmp_path):
    path = keras_file(tmp_path / "w.h5", "mobilenet-v2")[1]
    with pytest.raises(UsageError, match=r"keras\.applications has no mnasnet-b1"):
        load_weights(path, BASELINES["mnasnet-b1"])


def test_the_hint_names_the_baseline_that_weights_fit(tmp_path):
    graph = build_graph(BASELINES["mobilenet-v2"], classes=2, resolution=32)
    save_file(state_of(graph, timm.NAMES), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="not those of mnasnet-a1") as caught:
        load_weights(tmp_path / "w.safetensors", BASELINES["mnasnet-a1"])
    assert caught.value.hint == "the weights fit mobilenet-v2"


def test_our_own_files_come_back(tmp_path):
    graph = graph_of("mobilenet-v3-small")
    graph.save(tmp_path / "g.safetensors")
    loaded = load_weights(tmp_path / "g.safetensors", narrow_baseline("mobilenet-v3-small"))
    assert loaded.source == "edgekit"
    assert_same(loaded.graph, graph)


@pytest.mark.parametrize(
    ("name", "baseline"),
    [
        ("mobilenet-v2", "mobilenet-v2"),
        ("mobilenet-v2-w0.5", "mobilenet-v2"),
        ("mobilenet-v3-large-phi-0.5-a1.1-b1.1-g1.2", "mobilenet-v3-large"),
        ("mobilenet-v3-large-minimalistic-w0.5-d2", "mobilenet-v3-large-minimalistic"),
        ("b0", ""),
        ("my-resnet-18", ""),
    ],
)
def test_a_scaled_network_is_of_its_baseline(name, baseline):
    assert baseline_of(name) == baseline
