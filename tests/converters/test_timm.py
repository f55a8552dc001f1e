"""timm's names: written out by its rules, read back by ours."""

import numpy as np
import pytest

from edgekit.architecture import build_graph
from edgekit.converters import timm
from edgekit.spec import SPECS

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
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_names(name):
    names = timm.names(build_graph(SPECS[name], resolution=32, seed=None))
    for ours, theirs in EXAMPLES[name].items():
        assert names[ours] == theirs
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_a_state_dict_in_timms_layout_comes_back(name):
    graph = build_graph(SPECS[name], classes=5, resolution=32, seed=4)
    state = to_timm(graph)
    assert timm.recognises(set(state))
    ours = timm.to_ours(graph, state)
    filled = graph.with_weights(ours)
    for key, array in graph.weights.items():
        np.testing.assert_array_equal(filled.weights[key], array)


def to_timm(graph):
    """Writes a Graph as timm would: torch's layouts, and the counters that it keeps."""
    state = {}
    for key, theirs in timm.names(graph).items():
        array = graph.weights[key]
        if key.endswith("/kernel"):
            axes = {4: (3, 2, 0, 1), 3: (2, 0, 1), 2: (1, 0)}[array.ndim]
            array = array.transpose(axes)
            array = array[:, None] if array.ndim == 3 else array
        state[theirs] = np.ascontiguousarray(array)
        if theirs.endswith("running_mean"):
            state[theirs.replace("running_mean", "num_batches_tracked")] = np.array(7)
    return state


def test_what_has_no_place_keeps_its_name():
    graph = build_graph(SPECS["lite0"], classes=5, resolution=32, seed=0)
    state = to_timm(graph) | {"blocks.9.9.conv_dw.weight": np.zeros(1, np.float32)}
    assert "blocks.9.9.conv_dw.weight" in timm.to_ours(graph, state)
