"""TensorFlow 1 checkpoints: Google's names, moving averages, and what lies beside weights."""

import dataclasses

import numpy as np
import places
import pytest
import torch
from prerequisites import NEEDS, needs
from state_dicts import assert_same, to_tensorflow

from edgekit.converters.weights import tf1
from edgekit.converters.weights.load import load_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.torch_network import Network

CHECKPOINT = places.SHARED / "weights" / "tf1" / "efficientnet-lite0-w0.5-c10"
HALF_LITE0 = dataclasses.replace(SPECS["lite0"], width=0.5)
needs_checkpoint = needs("shared", CHECKPOINT.is_dir())

# ours to theirs, as Google's code numbers its layers
EXAMPLES = {
    "lite0": {
        "stem/kernel": "stem/conv2d/kernel",
        "stem/mean": "stem/tpu_batch_normalization/moving_mean",
        "block1a_depthwise/kernel": "blocks_0/depthwise_conv2d/depthwise_kernel",
        "block1a_project/kernel": "blocks_0/conv2d/kernel",
        "block1a_project/gamma": "blocks_0/tpu_batch_normalization_1/gamma",
        "block2a_project/kernel": "blocks_1/conv2d_1/kernel",
        "block2b_depthwise/beta": "blocks_2/tpu_batch_normalization_1/beta",
        "logits/bias": "head/dense/bias",
    },
    "b0": {"block1a_se_expand/bias": "blocks_0/se/conv2d_1/bias"},
    "es": {"block1a_project/variance": "blocks_0/tpu_batch_normalization_1/moving_variance"},
    "v2-b0": {
        "block1a_project/kernel": "blocks_0/conv2d/kernel",
        "block1a_project/gamma": "blocks_0/tpu_batch_normalization/gamma",
        "block2a_project/kernel": "blocks_1/conv2d_1/kernel",
        "block4a_se_reduce/kernel": "blocks_5/se/conv2d/kernel",
    },
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_names(name):
    graph = build_graph(SPECS[name], resolution=32, seed=None)
    names = tf1.names(graph)
    for ours, theirs in EXAMPLES[name].items():
        assert names[ours] == theirs
    assert len(set(names.values())) == len(graph.weights)


def write(folder, variables):
    """Saves variables as TensorFlow 1's Saver does."""
    tf = pytest.importorskip("tensorflow", reason=NEEDS["tensorflow"].reason)

    names = list(variables)
    tensors = [tf.constant(variables[name]) for name in names]
    prefix = str(folder / "model.ckpt")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
    )
    return folder / "model.ckpt"


def variables_of(graph, prefix="efficientnet-x/"):
    found = to_tensorflow(graph, tf1.names(graph))
    return {prefix + name: array for name, array in found.items()}


@pytest.fixture
def small():
    """A network that takes no time to write."""
    spec = dataclasses.replace(SPECS["es"], width=0.25, depth=0.25)
    return spec, build_graph(spec, classes=4, resolution=32, seed=3)


@needs("tensorflow")
@needs_checkpoint
@pytest.mark.parametrize("given", ["", "model.ckpt", "model.ckpt.index"])
def test_googles_own_logits(given):
    """With the moving averages, the logits are Google's; with the raw weights they are not."""
    loaded = load_weights(CHECKPOINT / given, HALF_LITE0)
    assert loaded.source == "tf1"
    assert loaded.notes == ("moving averages (EMA) of the weights",)
    assert difference(loaded.graph) < 1e-4


@needs("tensorflow")
@needs_checkpoint
def test_raw_weights_are_others():
    loaded = load_weights(CHECKPOINT, HALF_LITE0, ema=False)
    assert loaded.notes == ("raw weights, no EMA",)
    assert difference(loaded.graph) > 0.1


def difference(graph):
    """Of our logits to Google's, over the largest."""
    with np.load(CHECKPOINT / "reference.npz") as reference:
        x = torch.from_numpy(reference["input_nhwc"]).permute(0, 3, 1, 2)
        expected = reference["logits"]
    with torch.inference_mode():
        logits = Network(graph).eval()(x).numpy()
    return np.abs(logits - expected).max() / np.abs(expected).max()


def test_a_checkpoint_comes_back_and_training_leftovers_are_known(small, tmp_path):
    spec, graph = small
    variables = variables_of(graph)
    stem = "efficientnet-x/stem/conv2d/kernel"
    leftovers = {
        "global_step": np.int64(5),
        f"{stem}/RMSProp": variables[stem],
        f"{stem}/RMSProp_1": variables[stem],
        f"{stem}/Momentum": variables[stem],
    }
    loaded = load_weights(write(tmp_path, variables | leftovers), spec, resolution=32)
    assert loaded.notes == ("the checkpoint holds no moving averages: raw weights were used",)
    assert_same(loaded.graph, graph)


def test_off_a_tpu_the_layers_have_another_name(small, tmp_path):
    spec, graph = small
    variables = {k.replace("tpu_", ""): v for k, v in variables_of(graph).items()}
    assert_same(load_weights(write(tmp_path, variables), spec, resolution=32).graph, graph)


def test_an_unknown_variable_is_named(small, tmp_path):
    spec, graph = small
    path = write(tmp_path, variables_of(graph) | {"extra/kernel": np.zeros(2, np.float32)})
    loaded = load_weights(path, spec, resolution=32)
    assert "not used, as it stands elsewhere in the file: 'extra/kernel'" in loaded.notes
    assert_same(loaded.graph, graph)


def test_a_head_of_another_leaves_the_backbone(small, tmp_path):
    spec, graph = small
    variables = variables_of(graph)
    bias = variables.pop("efficientnet-x/head/dense/bias")
    kernel = variables.pop("efficientnet-x/head/dense/kernel")
    hidden = {"efficientnet-x/head/hidden/kernel": kernel, "efficientnet-x/head/hidden/bias": bias}
    loaded = load_weights(write(tmp_path, variables | hidden), spec, classes=2, resolution=32)
    assert loaded.fresh_head
    assert any("'head/hidden/bias', 'head/hidden/kernel'" in note for note in loaded.notes)
    np.testing.assert_array_equal(loaded.graph.weights["head/kernel"], graph.weights["head/kernel"])


def test_a_layer_of_another_network_is_refused(small, tmp_path):
    spec, graph = small
    block = {"efficientnet-x/blocks_99/conv2d/kernel": np.zeros((1, 1, 8, 8), np.float32)}
    with pytest.raises(UsageError) as caught:
        load_weights(write(tmp_path, variables_of(graph) | block), spec)
    assert caught.value.cause == "'blocks_99/conv2d/kernel' has no place"


@pytest.mark.parametrize("statistics", [True, False])
def test_averages_of_some_weights(small, tmp_path, statistics):
    """Statistics may lack an average; a kernel without one is an error that names it."""
    spec, graph = small
    raw = variables_of(graph)
    left = "moving_" if statistics else "stem/conv2d/kernel"
    averages = {f"{k}/ExponentialMovingAverage": v + 1 for k, v in raw.items() if left not in k}
    path = write(tmp_path, raw | averages)
    if not statistics:
        with pytest.raises(UsageError, match="some weights only") as caught:
            load_weights(path, spec)
        assert "stem/conv2d/kernel" in caught.value.cause
        return
    loaded = load_weights(path, spec)
    assert any("raw ones" in note for note in loaded.notes)
    np.testing.assert_array_equal(
        loaded.graph.weights["stem/kernel"], graph.weights["stem/kernel"] + 1
    )
    np.testing.assert_array_equal(loaded.graph.weights["stem/mean"], graph.weights["stem/mean"])


@pytest.mark.parametrize(("classes", "background"), [(3, True), (4, False), (2, False)])
def test_edgetpus_background_class(small, tmp_path, classes, background):
    spec, graph = small
    loaded = load_weights(write(tmp_path, variables_of(graph)), spec, classes=classes)
    assert loaded.graph.classes == classes
    assert loaded.graph.weights["logits/bias"].shape == (classes,)
    assert any("background" in note for note in loaded.notes) == background
    if background:
        np.testing.assert_array_equal(
            loaded.graph.weights["logits/kernel"], graph.weights["logits/kernel"][:, 1:]
        )


def test_an_index_without_its_data_is_refused(small, tmp_path):
    spec, graph = small
    path = write(tmp_path, variables_of(graph))
    for data in tmp_path.glob("*.data-*"):
        data.unlink()
    with pytest.raises(UsageError, match="has no data file"):
        load_weights(path, spec)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_truncated_checkpoint_is_refused(small, tmp_path, part):
    spec, graph = small
    path = write(tmp_path, variables_of(graph))
    file = path.with_name(f"{path.name}.{part}")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UsageError, match="cannot read the weights file"):
        load_weights(path, spec)


def test_a_folder_must_say_which_checkpoint(small, tmp_path):
    spec, graph = small
    write(tmp_path, variables_of(graph))
    for suffix in ("index", "data-00000-of-00001"):
        (tmp_path / f"other.{suffix}").write_bytes((tmp_path / f"model.ckpt.{suffix}").read_bytes())
    with pytest.raises(UsageError, match="holds 2 checkpoints"):
        load_weights(tmp_path, spec)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/gone/elsewhere/other"\n')
    assert_same(load_weights(tmp_path, spec, resolution=32).graph, graph)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no checkpoints"):
        load_weights(tmp_path, SPECS["b0"])
