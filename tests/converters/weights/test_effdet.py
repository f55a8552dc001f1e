"""Weights of effdet: both kinds of its models, tensor by tensor."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from narrow import narrow
from places import SHARED
from prerequisites import needs
from safetensors.numpy import load_file, save_file
from state_dicts import assert_same, to_torch

from edgekit.converters.weights import effdet, timm
from edgekit.converters.weights.load import load_weights
from edgekit.data.boxes.anchors import OLD_RATIOS, ROOT_RATIOS, Anchors
from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.networks.torch_network import Network

#: As `state_dicts.to_torch` takes a table.
NAMES = SimpleNamespace(of=effdet.names)
ORACLE = SHARED / "oracle" / "detection"
#: Of each: the model, and height and width of the input.
NETWORKS = {
    "tf_efficientdet_lite0_320x320_c5": ("det-lite0", (320, 320)),
    "tf_efficientdet_d0_128x192_c5": ("d0", (128, 192)),
}
#: Of their tensors: ours. The blocks are B0's and Lite0's last ones of their strides.
TENSORS = {
    "backbone_p3": "block3b_add",
    "backbone_p4": "block5c_add",
    "backbone_p5": "block7a_project",
    "fpn_in_p6": "p6",
    "fpn_in_p7": "p7",
    **{f"fpn_cell{c}_p{n}": f"bifpn{c + 1}_p{n}_pointwise" for c in (0, 2) for n in range(3, 8)},
    **{f"{head}_p{n}": f"{head}_p{n}" for head in ("class", "box") for n in range(3, 8)},
}


@pytest.fixture(scope="module", params=NETWORKS)
def oracle(request):
    model, size = NETWORKS[request.param]
    path = ORACLE / f"{request.param}.f16.safetensors"
    loaded = load_weights(path, find_spec(model), resolution=size)
    with np.load(ORACLE / f"{request.param}.npz") as file:
        tensors = {name: file[name] for name in (*TENSORS, "input_nchw", "anchors_yxyx")}
    values = {}
    with torch.inference_mode():
        x = torch.from_numpy(tensors["input_nchw"].astype(np.float32))
        Network(loaded.graph).eval().run(x, lambda name, value: values.setdefault(name, value))
    return loaded, size, tensors, values


@needs("shared", ORACLE.is_dir())
def test_every_map_is_the_originals(oracle):
    loaded, _, tensors, values = oracle
    assert (loaded.source, loaded.graph.classes, loaded.fresh_head) == ("effdet", 5, False)
    for theirs, ours in TENSORS.items():
        expected = tensors[theirs]
        found = values[ours].numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max(), theirs


@needs("shared", ORACLE.is_dir())
def test_anchors_are_the_originals(oracle):
    loaded, size, tensors, _ = oracle
    anchors = spec_of(loaded.graph).anchors
    np.testing.assert_array_equal(anchors.boxes(*size), tensors["anchors_yxyx"])
    assert anchors.ratios == OLD_RATIOS
    assert loaded.graph.output_shape == (len(tensors["anchors_yxyx"]), 4 + 5)


@needs("shared", ORACLE.is_dir())
def test_the_oracle_has_weights_below_zero(oracle):
    graph = oracle[0].graph
    cut = [a for n, a in graph.weights.items() if n.endswith("/weights") and a.min() < 0]
    assert len(cut) == {"d0": 2, "det-lite0": 0}[graph.name]


@needs("shared", ORACLE.is_dir())
def test_other_classes_get_a_fresh_predictor():
    path = ORACLE / "tf_efficientdet_lite0_320x320_c5.f16.safetensors"
    own, other = (
        load_weights(path, find_spec("det-lite0"), classes=classes, resolution=64)
        for classes in (None, 3)
    )
    assert (other.graph.classes, other.fresh_head) == (3, True)
    assert any("has 5 classes, not 3" in note for note in other.notes)
    changed = {
        name
        for name, array in own.graph.weights.items()
        if array.shape != other.graph.weights[name].shape
        or (array != other.graph.weights[name]).any()
    }
    assert changed == {"class_p3/kernel", "class_p3/bias"}


@needs("shared", ORACLE.is_dir())
@pytest.mark.parametrize(
    ("listed", "model", "changes"),
    [
        ("tf_efficientdet_d0", "d0", {}),
        ("tf_efficientdet_lite0", "det-lite0", {}),
        ("efficientdet_d0", "d0", {"biased": False, "padding": "symmetric"}),
    ],
)
def test_the_names_and_shapes_of_a_whole_state_dict_are_ours(listed, model, changes):
    spec = find_spec(model)
    spec = replace(spec, decoder=replace(spec.decoder, **changes))
    ours = {}
    graph = build_graph(spec, classes=90, resolution=64, seed=None)
    for name, array in to_torch(graph, NAMES).items():
        ours[name] = "x".join(map(str, array.shape)) or "scalar"
    lines = (ORACLE / f"names_{listed}_c90.txt").read_text().splitlines()
    assert ours == dict(line.split() for line in lines)


def decoder(**changes):
    fields = {"channels": 16, "cells": 2, "repeats": 2, "anchors": Anchors(3.0, ROOT_RATIOS)}
    return EfficientDet(**{**fields, **changes})


def network(name="lite0", classes=4, **changes):
    spec = narrow(name).with_decoder(decoder(**changes))
    return build_graph(spec, classes=classes, resolution=32, seed=5)


def write(folder, graph, prefix="", **others):
    state = {f"{prefix}{name}": array for name, array in to_torch(graph, NAMES).items()}
    save_file(state | others, folder / "w.safetensors")
    return folder / "w.safetensors"


def asked(name="lite0", **changes):
    return narrow(name).with_decoder(decoder(**changes))


@pytest.mark.parametrize("fusion", ["fast", "sum"])
@pytest.mark.parametrize("prefix", ["", "model.", "state_dict.module."])
def test_a_state_dict_of_googles_kind_comes_back(tmp_path, fusion, prefix):
    graph = network(fusion=fusion)
    path = write(tmp_path, graph, prefix)
    # What is asked for has the other fusion: it is the weights'.
    other = {"fast": "sum", "sum": "fast"}[fusion]
    loaded = load_weights(path, asked(fusion=other), resolution=32)
    assert_same(loaded.graph, graph)
    assert loaded.graph.nodes == graph.nodes
    spec = spec_of(loaded.graph)
    assert spec.decoder == decoder(fusion=fusion, anchors=Anchors(3.0, OLD_RATIOS))
    assert (spec.padding, spec.epsilon, spec.mean) == ("same", 1e-3, timm.HALF)
    assert preprocessing_of(spec, 32).anchors == spec.decoder.anchors
    assert any("anchors of 3 strides" in text for text in loaded.assumptions)


def test_a_state_dict_of_the_other_kind_pads_symmetrically(tmp_path):
    graph = network("b0", biased=False, padding="symmetric")
    loaded = load_weights(write(tmp_path, graph), asked("b0"), resolution=32)
    assert_same(loaded.graph, graph)
    spec = spec_of(loaded.graph)
    assert (spec.padding, spec.epsilon) == ("symmetric", 1e-5)
    assert (spec.decoder.padding, spec.decoder.biased) == ("symmetric", False)
    assert spec.decoder.anchors == Anchors(4.0, OLD_RATIOS)
    assert loaded.graph.node("bifpn1_p4_pool").padding == "symmetric"
    assert loaded.graph.node("stem").padding == "symmetric"
    assert loaded.graph.node("stem").batch_norm == 1e-5
    assert loaded.graph.node("p6_conv").batch_norm == 1e-3
    assert any("symmetric padding" in text for text in loaded.assumptions)


def test_six_levels_come_back(tmp_path):
    levels = Anchors(3.0, OLD_RATIOS, levels=(3, 4, 5, 6, 7, 8))
    graph = network(anchors=levels)
    path = write(tmp_path, graph)
    assert_same(load_weights(path, asked(anchors=levels), resolution=32).graph, graph)
    with pytest.raises(UsageError, match="of another decoder") as caught:
        load_weights(path, asked())
    assert "9 anchors at 6 levels" in caught.value.cause


@pytest.mark.parametrize(
    ("changes", "cause"),
    [({"channels": 24}, "16,2,2"), ({"cells": 1}, "16,1,2"), ({"repeats": 3}, "16,2,3")],
)
def test_another_detector_is_named_with_the_option_that_fits(tmp_path, changes, cause):
    theirs = {**changes, "channels": 16}
    path = write(tmp_path, network(**theirs))
    with pytest.raises(UsageError, match="of another decoder") as caught:
        load_weights(path, asked(**({"channels": 24} if "channels" in changes else {})))
    assert cause in caught.value.cause
    assert caught.value.hint == f"decoder='{cause}'"


def test_a_published_one_is_named_by_its_model(tmp_path):
    path = write(tmp_path, network(channels=88, cells=4, repeats=3))
    with pytest.raises(UsageError, match="of another decoder") as caught:
        load_weights(path, asked())
    assert caught.value.hint == "the model d1 or det-lite1"


def test_what_is_missing_or_has_no_place_is_named(tmp_path):
    state = to_torch(network(), NAMES)
    del state["class_net.bn_rep.1.2.bn.weight"]
    save_file(state, tmp_path / "w")
    with pytest.raises(UsageError, match="not those of") as caught:
        load_weights(tmp_path / "w", asked(), classes=4)
    assert "'class_net.bn_rep.1.2.bn.weight' (class_p5_conv2_pointwise/gamma)" in caught.value.cause
    path = write(tmp_path, network(), **{"fpn.cell.0.extra": np.zeros(2, np.float32)})
    with pytest.raises(UsageError, match="not those of") as caught:
        load_weights(path, asked(), classes=4)
    assert "'fpn.cell.0.extra' has no place" in caught.value.cause


def test_a_shared_weight_of_another_shape_is_named_once(tmp_path):
    state = to_torch(network(), NAMES)
    state["box_net.conv_rep.0.conv_dw.weight"] = np.zeros((16, 1, 5, 5), np.float32)
    save_file(state, tmp_path / "w")
    with pytest.raises(UsageError, match="not those of") as caught:
        load_weights(tmp_path / "w", asked(), classes=4)
    assert caught.value.cause.count("box_net.conv_rep.0.conv_dw") == 1


def test_a_detectors_file_is_no_classifiers(tmp_path):
    path = write(tmp_path, network())
    with pytest.raises(UsageError, match="are of a network with a decoder") as caught:
        load_weights(path, narrow("lite0"))
    assert "d0 for detection" in caught.value.hint
    with pytest.raises(UsageError, match="of another decoder"):
        load_weights(path, replace(find_spec("unet-lite0"), width=0.1, depth=0.1))


def test_a_bench_with_its_anchors_is_read(tmp_path):
    graph = network()
    boxes = {"anchors.boxes": np.zeros((8, 4), np.float32)}
    loaded = load_weights(write(tmp_path, graph, "model.", **boxes), asked(), resolution=32)
    assert_same(loaded.graph, graph)
    assert any("'anchors.boxes'" in note for note in loaded.notes)


def test_half_precision_is_read_as_it_is_stored(tmp_path):
    graph = network()
    state = load_file(write(tmp_path, graph))
    halves = {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in state.items()}
    save_file(halves, tmp_path / "half")
    loaded = load_weights(tmp_path / "half", asked(), resolution=32)
    for name, array in graph.weights.items():
        expected = array.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(loaded.graph.weights[name], expected)
