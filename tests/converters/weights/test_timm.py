"""timm's names: written out by its rules, read back by ours; and whose training it was."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from state_dicts import assert_same, to_torch

from edgekit.converters.weights import timm
from edgekit.converters.weights.load import load_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN, SPECS

# ours to timm's, looked up in the published state dicts
EXAMPLES = {
    "lite0": {
        "stem/kernel": "conv_stem.weight",
        "stem/mean": "bn1.running_mean",
        "block1a_depthwise/kernel": "blocks.0.0.conv_dw.weight",
        "block1a_project/kernel": "blocks.0.0.conv_pw.weight",
        "block1a_project/beta": "blocks.0.0.bn2.bias",
        "block3b_expand/kernel": "blocks.2.1.conv_pw.weight",
        "block3b_expand/gamma": "blocks.2.1.bn1.weight",
        "block3b_depthwise/variance": "blocks.2.1.bn2.running_var",
        "block3b_project/gamma": "blocks.2.1.bn3.weight",
        "head/gamma": "bn2.weight",
        "logits/bias": "classifier.bias",
    },
    "b0": {
        "block1a_se_reduce/kernel": "blocks.0.0.se.conv_reduce.weight",
        "block6d_se_expand/bias": "blocks.5.3.se.conv_expand.bias",
    },
    "es": {
        "block1a_expand/kernel": "blocks.0.0.conv_exp.weight",
        "block1a_project/kernel": "blocks.0.0.conv_pwl.weight",
        "block2b_project/gamma": "blocks.1.1.bn2.weight",
        "block4a_depthwise/kernel": "blocks.3.0.conv_dw.weight",
    },
    "v2-b0": {
        "block1a_project/kernel": "blocks.0.0.conv.weight",
        "block1a_project/gamma": "blocks.0.0.bn1.weight",
        "block2a_expand/kernel": "blocks.1.0.conv_exp.weight",
        "block2a_project/variance": "blocks.1.0.bn2.running_var",
        "block4a_se_reduce/bias": "blocks.3.0.se.conv_reduce.bias",
    },
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_names(name):
    names = timm.NAMES.of(build_graph(SPECS[name], resolution=32, seed=None))
    for ours, theirs in EXAMPLES[name].items():
        assert names[ours] == theirs
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("name", SPECS)
def test_every_variant_has_a_name_for_every_weight(name):
    graph = build_graph(SPECS[name], resolution=32, seed=None)
    names = timm.NAMES.of(graph)
    assert names.keys() == graph.weights.keys()
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("name", ["b0", "lite0", "es", "v2-b0"])
def test_a_state_dict_in_timms_layout_comes_back(name, tmp_path):
    graph = build_graph(SPECS[name], classes=5, resolution=32, seed=4)
    save_file(to_torch(graph, timm.NAMES), tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors", SPECS[name], resolution=32)
    assert_same(loaded.graph, graph)


@pytest.mark.parametrize(
    ("model", "path", "source", "assumed"),
    [
        ("b0", "tf_efficientnet_b0_ns-c0e6a31c.pth", "timm-tf", False),
        ("b0", "efficientnet_b0_ra-3dd342df.pth", "timm", False),
        ("lite0", "efficientnet_lite0_ra-37913777.pth", "timm", False),
        ("es", "efficientnet_es.ra_in1k/model.safetensors", "timm", False),
        ("b0", "tf_efficientnet_b0.in1k/snapshots/0f3/model.safetensors", "timm-tf", False),
        ("v2-b0", "tf_efficientnetv2_b0.in1k/model.safetensors", "timm-tf", False),
        ("lite0", "efficientnet-lite0_flowers5_timm.safetensors", "timm-tf", True),
        ("b0", "weights.pth", "timm-tf", True),
        ("lite1", "weights.pth", "timm-tf", False),  # published as a port alone
        ("v2-b0", "weights.pth", "timm-tf", False),
    ],
)
def test_whose_training_it_was_stands_around_the_numbers(model, path, source, assumed, tmp_path):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    graph = build_graph(SPECS[model], classes=2, resolution=32, seed=1)
    save_file(to_torch(graph, timm.NAMES), file)
    loaded = load_weights(file, SPECS[model])
    assert loaded.source == source
    assert any("by its name" in note for note in loaded.said) == (source == "timm")
    assert any("does not say how" in note for note in loaded.said) == assumed
    symmetric = source == "timm"
    assert spec_of(loaded.graph).padding == ("symmetric" if symmetric else "same")
    assert spec_of(loaded.graph).epsilon == (1e-5 if symmetric else 1e-3)
    assert loaded.graph.node("stem").padding == spec_of(loaded.graph).padding
    assert loaded.graph.node("stem").batch_norm == spec_of(loaded.graph).epsilon


def test_the_users_word_counts_more_than_the_name(tmp_path):
    graph = build_graph(SPECS["b0"], classes=2, resolution=32, seed=1)
    save_file(to_torch(graph, timm.NAMES), tmp_path / "tf_efficientnet_b0.pth")
    loaded = load_weights(tmp_path / "tf_efficientnet_b0.pth", SPECS["b0"], source="timm")
    assert (loaded.source, spec_of(loaded.graph).padding) == ("timm", "symmetric")


CONFIG = {
    "architecture": "efficientnet_b0",
    "pretrained_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.5, 0.5],
        "crop_pct": 0.9,
        "interpolation": "bilinear",
    },
}


@pytest.mark.parametrize("where", ["beside", "flat", "metadata"])
def test_a_hubs_record_decides_source_and_preprocessing(where, tmp_path):
    graph = build_graph(SPECS["b0"], classes=2, resolution=32, seed=1)
    metadata = {"format": "pt"}
    if where == "beside":
        (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    elif where == "flat":
        flat = {"architecture": CONFIG["architecture"], **CONFIG["pretrained_cfg"]}
        (tmp_path / "config.json").write_text(json.dumps(flat))
    else:
        config = CONFIG["pretrained_cfg"]
        metadata |= {**CONFIG, "pretrained_cfg": json.dumps(config)}
    save_file(to_torch(graph, timm.NAMES), tmp_path / "model.safetensors", metadata)
    loaded = load_weights(tmp_path / "model.safetensors", SPECS["b0"])
    spec = spec_of(loaded.graph)
    assert loaded.source == "timm"
    assert spec.mean == (127.5, 127.5, 127.5)
    assert spec.std == (63.75, 127.5, 127.5)
    assert (spec.crop, spec.interpolation) == (0.9, "bilinear")


def test_photos_that_timm_stretches_are_said(tmp_path):
    graph = build_graph(SPECS["b0"], classes=2, resolution=32, seed=1)
    save_file(to_torch(graph, timm.NAMES), tmp_path / "model.safetensors")
    record = {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], "crop_mode": "squash"}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    notes = load_weights(tmp_path / "model.safetensors", SPECS["b0"]).notes
    assert any("stretched to a square" in note for note in notes)


@pytest.mark.parametrize(
    "wrong", [{"mean": "dark"}, {"std": [0, 1, 1]}, {"crop_pct": 7}, {"interpolation": "nearest"}]
)
def test_a_record_that_cannot_be_used_is_refused(wrong, tmp_path):
    graph = build_graph(SPECS["b0"], classes=2, resolution=32, seed=1)
    save_file(to_torch(graph, timm.NAMES), tmp_path / "model.safetensors")
    record = {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], **wrong}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"config\.json cannot be used"):
        load_weights(tmp_path / "model.safetensors", SPECS["b0"])


@pytest.mark.parametrize(
    ("model", "file", "mean"),
    [
        ("lite0", "efficientnet_lite0_ra-37913777.pth", IMAGENET_MEAN),
        ("lite0", "tf_efficientnet_lite0-0aa007d2.pth", (127.0,) * 3),
        ("b0", "tf_efficientnet_b0_ap-f262efe1.pth", (127.5,) * 3),
        ("b0", "efficientnet_b0.ra4_e3600_r224_in1k.safetensors", (127.5,) * 3),
        ("b0", "tf_efficientnet_b0_aa-827b6e33.pth", IMAGENET_MEAN),
    ],
)
def test_preprocessing_follows_the_training(model, file, mean, tmp_path):
    graph = build_graph(SPECS[model], classes=2, resolution=32, seed=1)
    save_file(to_torch(graph, timm.NAMES), tmp_path / file)
    assert spec_of(load_weights(tmp_path / file, SPECS[model]).graph).mean == mean


def test_what_has_no_place_is_named(tmp_path):
    graph = build_graph(SPECS["lite0"], classes=5, resolution=32, seed=0)
    state = to_torch(graph, timm.NAMES) | {"blocks.9.9.conv_dw.weight": np.zeros(1, np.float32)}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UsageError) as caught:
        load_weights(tmp_path / "w.safetensors", SPECS["lite0"])
    assert caught.value.cause == "'blocks.9.9.conv_dw.weight' has no place"
