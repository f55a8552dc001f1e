from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from places import SHARED
from prerequisites import needs
from tiny_classifier import IMAGENET, LABELS, with_metadata
from tiny_tflite import CLASSES, SIZE, TinyModel, float_io, int8_io, schema

from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, UsageError
from edgekit.runtimes import litert as runtime
from edgekit.runtimes.litert import LiteRT, measure_latency

LITE = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, LABELS)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.fixture
def save(tmp_path):
    def write(model: TinyModel | bytes) -> Path:
        path = tmp_path / "tiny.tflite"
        path.write_bytes(model if isinstance(model, bytes) else model.pack())
        return path

    return write


def test_uint8_is_fed_as_it_is_and_dequantized(save, pixels):
    model = LiteRT(save(TinyModel()))
    assert model.feed(pixels[0]).tobytes() == pixels[0].tobytes()
    logits = model.run(pixels)
    assert (logits.shape, logits.dtype) == ((3, CLASSES), np.float32)
    steps = logits / 0.2 + 131  # scale and zero point of the output
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert len(np.unique(logits)) > 5


def test_the_three_kinds_of_input_agree(save, pixels):
    """One network behind uint8, int8 and float32 input, all of them fed the same photos."""
    uint8 = LiteRT(save(TinyModel())).run(pixels)
    int8 = LiteRT(save(int8_io())).run(pixels)
    floats = LiteRT(save(float_io()), preprocessing=LITE).run(pixels)
    np.testing.assert_allclose(int8, floats, atol=1e-5)
    inside = (uint8 > -131 * 0.2 + 0.1) & (uint8 < 124 * 0.2 - 0.1)  # uint8 clips a little earlier
    np.testing.assert_allclose(uint8[inside], int8[inside], atol=1e-5)
    assert inside.sum() > 5


BYTES = np.arange(256)
QUANTIZED = np.clip(np.rint((BYTES - 123.675) / 58.395 / 0.02 - 14), -128, 127)


@pytest.mark.parametrize(
    ("tiny", "stored", "given", "red"),
    [
        (int8_io(), None, None, BYTES - 128),
        (int8_io(), None, LITE, BYTES - 128),
        (int8_io(1.0, -14), None, None, BYTES - 128),
        (int8_io(1.0, -14), None, IMAGENET, BYTES - 128),
        (int8_io(1.0, -128), IMAGENET, IMAGENET, BYTES - 128),
        (int8_io(0.0173, -14), IMAGENET, IMAGENET, BYTES - 128),
        (int8_io(0.02, -14), None, IMAGENET, QUANTIZED),
        (float_io(), None, IMAGENET, (BYTES - 123.675) / 58.395),
        (float_io(), IMAGENET, None, (BYTES - 123.675) / 58.395),
        (float_io(), IMAGENET, LITE, (BYTES - 127) / 128),
    ],
    ids=[
        "int8, nothing known",
        "int8, folds exactly",
        "int8 counting in pixels",
        "int8 counting in pixels, normalisation folded in",
        "int8 of edgekit, raw pixels",
        "int8 of edgekit, folded",
        "int8 of others",
        "float",
        "float, from the file",
        "float, ours goes before the file's",
    ],
)
def test_what_each_byte_is_fed_as(save, tiny, stored, given, red):
    path = save(with_metadata(tiny, stored) if stored else tiny)
    model = LiteRT(path, preprocessing=given)
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    fed = []
    for start in range(0, 256, SIZE * SIZE):
        photo[..., 0] = np.arange(start, start + SIZE * SIZE).reshape(SIZE, SIZE)
        fed.append(model.feed(photo)[0, ..., 0].ravel())
    np.testing.assert_allclose(np.concatenate(fed), red, rtol=1e-5, atol=1e-6)


def test_float_equals_the_record(save, pixels):
    model = LiteRT(save(float_io()), preprocessing=IMAGENET)
    np.testing.assert_array_equal(model.feed(pixels[0])[0], IMAGENET.normalize(pixels[0]))


def test_a_float_model_without_a_normalisation_is_refused(save):
    with pytest.raises(UsageError, match="how a photo is normalised"):
        LiteRT(save(float_io()))


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
def test_kernels_agree_to_one_step(save, pixels, kernels):
    path = save(TinyModel())
    np.testing.assert_allclose(
        LiteRT(path, kernels=kernels).run(pixels), LiteRT(path).run(pixels), atol=0.21
    )


def test_litert_stays_silent(save, capfd):
    LiteRT(save(TinyModel()))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, SIZE, SIZE + 1, 3), np.uint8),
        np.zeros((1, SIZE, SIZE, 1), np.uint8),
        np.zeros((1, SIZE, SIZE, 3), np.float32),
    ],
)
def test_wrong_pixels_are_refused(save, batch):
    with pytest.raises(UsageError, match="takes uint8 pixels"):
        LiteRT(save(TinyModel())).run(batch)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"kernels": "xnpack"}, "did you mean 'xnnpack'"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_wrong_arguments_are_refused(save, arguments, says):
    with pytest.raises(UsageError) as caught:
        LiteRT(save(TinyModel()), **arguments)
    assert says in str(caught.value)


def test_a_compiled_model_is_refused_with_a_hint(save):
    tiny = TinyModel()
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"
    with pytest.raises(EdgekitError, match="LiteRT cannot run") as caught:
        LiteRT(save(tiny))
    assert "before compilation" in caught.value.hint


def test_a_model_that_litert_rejects(save):
    tiny = TinyModel()
    tiny.tensor("stem_w").shape = [8, 3, 3, 2]
    with pytest.raises(EdgekitError, match="LiteRT cannot run"):
        LiteRT(save(tiny))


def test_not_a_classifier(save):
    tiny = TinyModel()
    tiny.graph.inputs = [tiny.index("mean")]
    with pytest.raises(UsageError, match="not an image classifier"):
        LiteRT(save(tiny))


def test_latency(save, pixels):
    figures = measure_latency(save(TinyModel()), pixels[0], threads=2, warm=20)
    assert list(figures) == ["init", "first", "median", "p5", "p95", "n", "threads"]
    assert (figures["n"], figures["threads"]) == (20, 2)
    assert 0 < figures["p5"] <= figures["median"] <= figures["p95"]
    assert figures["init"] > 0
    assert figures["first"] > 0


def test_latency_is_bounded_in_time(save, pixels):
    assert measure_latency(save(TinyModel()), pixels[0], seconds=0.0)["n"] == 1


def test_init_is_apart_from_the_runs(save, pixels, monkeypatch):
    load = runtime.load_interpreter
    monkeypatch.setattr(runtime, "load_interpreter", lambda *a: (load(*a)[0], 7.0))
    figures = measure_latency(save(TinyModel()), pixels[0], warm=3)
    assert figures["init"] == 7000.0
    assert figures["first"] < 1000


@needs("shared", SHARED.is_dir())
def test_a_foreign_model_knows_its_flowers():
    from PIL import Image

    model = LiteRT(SHARED / "weights/flowers_lite0_model_maker.tflite", threads=2)
    names = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    right = 0
    for index, name in enumerate(names):
        for photo in sorted((SHARED / "data/flowers/val" / name).iterdir())[:4]:
            with Image.open(photo) as image:
                fed = np.asarray(image.convert("RGB").resize((224, 224)))
            right += int(model.run(fed[None])[0].argmax()) == index
    assert right >= 16
