"""Keras' own models against ours: the same file, the same pixels, the same logits."""

import h5py
import numpy as np
import pytest
import torch
from keras_networks import BASELINE, keras, keras_network, our_spec
from prerequisites import needs

from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.verify import compare
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.torch_network import Network

# Keras' own: its arrays do not know numpy 2's `copy` keyword.
pytestmark = [
    needs("keras"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
SIDE, CLASSES = 64, 5
MEAN, VARIANCE = [0.4, 0.5, 0.6], [0.05, 0.06, 0.07]
UNSCALED = ("mobilenet-v1", "mobilenet-v2")
#: Of the baselines, one with each kind of input and of squeeze-excite.
FAST = ("mobilenet-v1", "mobilenet-v3-small")
#: Ways to save that other tests have, too.
SLOW = pytest.mark.slow


def build(name, *, full=False):
    """The original, with statistics and an input normalization that no default hides."""
    keras.utils.set_random_seed(1)
    options = {"classes": CLASSES, "classifier_activation": None}
    model = keras_network(name, full=full, input_shape=(SIDE, SIDE, 3), **options)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.float32)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([np.array(MEAN), np.array(VARIANCE), layer.get_weights()[2]])
            layer.finalize_state()
    for layer in norms:
        layer.momentum = 0  # the statistics are those of the next batch
        layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
        layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
    # What has no input layers for it is fed with pixels over -1 to 1.
    fed = pixels / 127.5 - 1 if name in UNSCALED else pixels
    model(fed, training=True)
    for layer in norms:  # a few pixels in the last stages: channels would blow up
        layer.moving_variance.assign(1.2 * layer.moving_variance + 0.01)
    return model, pixels, np.asarray(model(fed, training=False))


@pytest.fixture(scope="module", params=["b0", pytest.param("v2-b0", marks=pytest.mark.slow)])
def small(request):
    return request.param, *build(request.param)


def save(model, path, kind):
    file = path / {"weights": "w.weights.h5", "legacy": "w.h5", "keras": "w.keras"}[kind]
    (model.save_weights if kind == "weights" else model.save)(file)
    return file


def difference(loaded, pixels, expected):
    """Of our logits to theirs, over the largest, or over how far the photos' logits differ."""
    spec = spec_of(loaded.graph)
    x = (pixels - np.float32(spec.mean)) / np.float32(spec.std)
    with torch.inference_mode():
        logits = Network(loaded.graph).eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    error = np.abs(logits - expected).max()
    return max(error / np.abs(expected).max(), error / np.ptp(expected, axis=0).max())


@pytest.mark.parametrize("kind", ["weights", "legacy", "keras"])
def test_logits(small, kind, tmp_path):
    name, model, pixels, expected = small
    loaded = load_weights(save(model, tmp_path, kind), our_spec(name))
    assert (loaded.source, loaded.graph.classes) == ("keras", CLASSES)
    assert difference(loaded, pixels, expected) < 1e-4


def test_logits_without_the_names_of_layers(small, tmp_path):
    """Early Keras 3 wrote numbers alone."""
    name, model, pixels, expected = small
    path = save(model, tmp_path, "weights")
    with h5py.File(path, "r+") as file:
        for layer in file["layers"].values():
            del layer["vars"].attrs["name"]
    loaded = load_weights(path, our_spec(name))
    assert any("by their order" in note for note in loaded.notes)
    assert difference(loaded, pixels, expected) < 1e-4


def test_the_test_would_see_a_difference(small, tmp_path):
    """Padding and preprocessing matter at this size."""
    name, model, pixels, expected = small
    loaded = load_weights(save(model, tmp_path, "weights"), our_spec(name))
    assert difference(loaded, pixels[:, ::-1], expected) > 0.05
    assert difference(loaded, pixels + 10, expected) > 0.05


def test_a_file_of_a_training_run(small, tmp_path):
    """Optimizer slots lie beside the weights."""
    name, model, pixels, expected = small
    model.compile(keras.optimizers.SGD(momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    loaded = load_weights(save(model, tmp_path, "keras"), our_spec(name))
    assert difference(loaded, pixels, expected) < 1e-4


def test_without_a_top(tmp_path):
    model = keras_network("v2-b0", include_top=False, input_shape=(SIDE, SIDE, 3))
    loaded = load_weights(save(model, tmp_path, "weights"), our_spec("v2-b0"), classes=3)
    assert loaded.graph.classes == 3
    assert any("classifier is missing" in note for note in loaded.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("b0", "keras"), ("v2-b0", "weights")),
        *(("b3", "weights"), ("v2-b3", "legacy"), ("v2-s", "keras")),
    ],
)
def test_logits_of_full_models(name, kind, tmp_path):
    model, pixels, expected = build(name, full=True)
    loaded = load_weights(save(model, tmp_path, kind), our_spec(name, full=True))
    assert difference(loaded, pixels, expected) < 1e-4


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in BASELINE
    ],
)
def baseline(request):
    return request.param, *build(request.param)


@pytest.mark.parametrize(
    "kind",
    ["weights", "numbered", *(pytest.param(kind, marks=SLOW) for kind in ("legacy", "keras"))],
)
def test_logits_of_baselines(baseline, kind, tmp_path):
    name, model, pixels, expected = baseline
    path = save(model, tmp_path, "weights" if kind == "numbered" else kind)
    if kind == "numbered":
        with h5py.File(path, "r+") as file:
            for layer in file["layers"].values():
                if "name" in layer["vars"].attrs:
                    del layer["vars"].attrs["name"]
    loaded = load_weights(path, our_spec(name))
    assert (loaded.source, loaded.graph.classes) == ("keras", CLASSES)
    # Those of random weights hardly differ from photo to photo, and float32 shows.
    assert difference(loaded, pixels, expected) < 1e-3
    assert difference(loaded, pixels + 10, expected) > 0.01


@pytest.mark.parametrize("kind", [pytest.param("weights", marks=SLOW), "keras"])
def test_baselines_are_verified_with_keras(baseline, kind, tmp_path):
    name, model, _, _ = baseline
    if kind == "weights" and BASELINE[name][2] != 1:
        pytest.skip("the file does not say how wide its network is")
    path = save(model, tmp_path, kind)
    found = compare(path, load_weights(path, our_spec(name)))
    assert found.difference is not None, found.against
    assert found.difference < 1e-5
