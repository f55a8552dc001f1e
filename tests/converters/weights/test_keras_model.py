"""Files of Keras as people save them: their own configuration decides, and is what runs."""

import json
import re

import h5py
import numpy as np
import pytest
from keras_networks import keras, keras_network, our_spec
from prerequisites import needs

from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.verify import compare, normalised, run
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN

# Keras' own: its arrays do not know numpy 2's `copy` keyword.
pytestmark = [
    needs("keras"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
SIDE = 64
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
#: Of V1 where the Normalization holds the std as its variance, and no second Rescaling follows.
TF23_STD = tuple(255 * np.sqrt(STD))


def lively(model):
    """Statistics that no default hides, and TensorFlow 2.3's form of the input normalization."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            lively(layer)
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([MEAN, STD, layer.get_weights()[2]])
            layer.finalize_state()
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.uniform(-0.2, 0.2, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    return model


def b0(**options):
    defaults = {"classes": 3, "input_shape": (SIDE, SIDE, 3)}
    return keras_network("b0", **(defaults | options))


def tutorial():
    """The head of Keras' own tutorial on fine-tuning, with names that are no family's."""
    base = b0(include_top=False)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(base.output)
    x = keras.layers.Dropout(0.2, name="top_dropout")(keras.layers.BatchNormalization()(x))
    return keras.Model(base.input, keras.layers.Dense(3, activation="softmax", name="pred")(x))


def nested():
    """A model inside a model, augmented and scaled in front."""
    base = keras_network(
        "v2-b0", include_top=False, include_preprocessing=False, input_shape=(SIDE, SIDE, 3)
    )
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Resizing(SIDE, SIDE),
            keras.layers.RandomFlip("horizontal"),
            keras.layers.Rescaling(1 / 100, offset=-1.5),
            base,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5, name="out"),
        ]
    )


MODELS = {
    "b0": (b0, "b0"),
    "odd": (lambda: b0(input_shape=(75, 75, 3)), "b0"),
    "tutorial": (tutorial, "b0"),
    "nested": (nested, "v2-b0"),
    "v2-raw": (
        lambda: keras_network(
            "v2-b0", classes=3, include_preprocessing=False, input_shape=(SIDE, SIDE, 3)
        ),
        "v2-b0",
    ),
}
EXPECTED = {
    "b0": (IMAGENET_MEAN, TF23_STD),
    "odd": (IMAGENET_MEAN, TF23_STD),
    "tutorial": (IMAGENET_MEAN, TF23_STD),
    "nested": ((150.0,) * 3, (100.0,) * 3),
    "v2-raw": ((127.5,) * 3, (127.5,) * 3),
}
FILES = {"keras": "w.keras", "legacy": "w.h5", "weights": "w.weights.h5"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "nested")) for name in MODELS],
)
def saved(request, tmp_path_factory):
    """A model in all forms of file."""
    build, variant = MODELS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    keras.utils.set_random_seed(1)
    model = lively(build())
    for file in FILES.values():
        (model.save_weights if "weights" in file else model.save)(folder / file)
    return request.param, our_spec(variant), folder, model


@pytest.mark.parametrize("kind", ["keras", "legacy"])
def test_a_whole_model_decides_and_is_what_runs(saved, kind):
    name, spec, folder, _ = saved
    loaded = load_weights(folder / FILES[kind], spec)
    np.testing.assert_allclose(
        (spec_of(loaded.graph).mean, spec_of(loaded.graph).std), EXPECTED[name], rtol=1e-5
    )
    preprocessing = [text for text in loaded.assumptions if text.startswith("mean")]
    assert bool(preprocessing) == (name == "v2-raw")
    assert loaded.fresh_head == (name in ("tutorial", "nested"))
    found = compare(folder / FILES[kind], loaded)
    assert "the file's own model" in found.against
    assert ("up to the embedding" in found.against) == loaded.fresh_head
    assert found.difference < 1e-5


def test_weights_alone_are_assumed_to_be_keras_applications(saved):
    name, spec, folder, _ = saved
    loaded = load_weights(folder / FILES["weights"], spec)
    assert any(text.startswith("mean") and "weights alone" in text for text in loaded.assumptions)
    if name in ("nested", "tutorial"):  # the Rescaling of the one is not in the file
        return
    np.testing.assert_allclose(
        (spec_of(loaded.graph).mean, spec_of(loaded.graph).std), EXPECTED[name], rtol=1e-5
    )


@pytest.mark.slow  # of weights alone: test_weights_alone_are_assumed_to_be_keras_applications
@pytest.mark.parametrize("name", ["b0", "v2-b0"])
def test_weights_alone_are_compared_with_the_model_of_that_name(tmp_path, name):
    """Which is of its full size."""
    options = {"include_preprocessing": False} if name == "v2-b0" else {}
    keras.utils.set_random_seed(1)
    model = lively(
        keras_network(name, full=True, classes=3, input_shape=(SIDE, SIDE, 3), **options)
    )
    path = tmp_path / FILES["weights"]
    model.save_weights(path)
    found = compare(path, load_weights(path, our_spec(name, full=True)))
    assert "(assumed: the file holds weights alone)" in found.against
    assert found.difference < 1e-5


def test_ours_is_what_the_model_itself_answers(saved):
    """Held to Keras' own execution of the model, not to ours of its configuration."""
    name, spec, folder, model = saved
    loaded = load_weights(folder / FILES["keras"], spec)
    side = 75 if name == "odd" else SIDE
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.float32)
    fed = normalised(loaded.graph, pixels) if name == "v2-raw" else pixels
    if loaded.fresh_head:
        base = next((layer for layer in model.layers if hasattr(layer, "layers")), model)
        last = keras.Model(base.input, base.get_layer("top_activation").output)
        fed = fed / 100 - 1.5 if name == "nested" else fed
        expected = np.asarray(last(fed, training=False)).mean((1, 2))
        ours = run(loaded.graph, normalised(loaded.graph, pixels), embed=True)
    else:
        expected = np.asarray(model(fed, training=False))
        logits = run(loaded.graph, normalised(loaded.graph, pixels))
        ours = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(ours - expected).max() / np.abs(expected).max() < 1e-4


def rewritten(folder, tmp_path, change):
    """The legacy file with another configuration."""
    path = tmp_path / "w.h5"
    path.write_bytes((folder / FILES["legacy"]).read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"])
        file.attrs["model_config"] = json.dumps(config)
    return path


def as_tensorflow_2_wrote_it(items):
    for item in items:
        settings = item["config"]
        settings.pop("dtype", None)
        if "batch_shape" in settings:
            settings["batch_input_shape"] = settings.pop("batch_shape")
        if settings.get("activation") == "silu":
            settings["activation"] = "swish"
        if item["class_name"] == "DepthwiseConv2D":
            settings["groups"] = 1
        tensors = json.dumps(item["inbound_nodes"]).split('"keras_history": ["')[1:]
        names = [text.partition('"')[0] for text in tensors]
        item["inbound_nodes"] = [[[name, 0, 0, {}] for name in names]] if names else []


def with_lambda(items):
    index = next(i for i, item in enumerate(items) if item["class_name"] == "Rescaling")
    items[index]["class_name"] = "Lambda"
    items[index]["config"]["function"] = {"class_name": "__lambda__", "config": {"code": "4wE="}}


def with_function(items):
    activation = next(item for item in items if item["class_name"] == "Activation")
    activation["config"]["activation"] = {"module": "os", "class_name": "system", "config": {}}


def with_endless_width(items):
    next(item for item in items if item["class_name"] == "Conv2D")["config"]["filters"] = 10**9


def with_endless_padding(items):
    pad = next(item for item in items if item["class_name"] == "ZeroPadding2D")
    pad["config"]["padding"] = [[10**9, 1], [0, 1]]


def with_endless_input(items):
    items[0]["config"]["batch_shape"] = [None, 10**6, 10**6, 3]


def test_a_configuration_of_tensorflow_2_runs(saved, tmp_path):
    name, spec, folder, _ = saved
    if name not in ("b0", "tutorial"):
        pytest.skip("one of each head is enough")
    path = rewritten(folder, tmp_path, as_tensorflow_2_wrote_it)
    found = compare(path, load_weights(path, spec))
    assert "the file's own model" in found.against
    assert found.difference < 1e-5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_lambda, "is a Lambda, which is not run"),
        (with_function, "has an activation that is not run"),
        (with_endless_width, "is not as wide as its weights"),
        (with_endless_padding, "pads too widely"),
        (with_endless_input, "its input has 1000000 pixels"),
        (lambda items: items.pop(4), "its configuration does not fit"),
    ],
)
def test_what_is_no_layer_of_the_family_is_not_run(saved, tmp_path, change, reason):
    name, spec, folder, _ = saved
    if name != "b0":
        pytest.skip("one model is enough")
    path = rewritten(folder, tmp_path, change)
    loaded = load_weights(path, spec)
    found = compare(path, loaded)
    assert found.difference is None
    assert reason in found.against
    if change is with_lambda:
        # Keras counts its layers' names through.
        assert any(re.search(r"'rescaling\w*' \(Lambda\)", text) for text in loaded.assumptions)
