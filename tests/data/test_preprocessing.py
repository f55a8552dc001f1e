"""Photos become input pixels in one exact way, and the record of it survives JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError

LITE = Preprocessing(
    resolution=32, mean=(127, 127, 127), std=(128, 128, 128), labels=("cat", "dog")
)
IMAGENET = Preprocessing(
    resolution=224,
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    labels=tuple(f"class {i}" for i in range(1000)),
    crop_fraction=1.0,
    interpolation="bilinear",
)


def scene(width: int, height: int) -> Image.Image:
    """Red rises to the right and green downwards, so that a place can be read off its colour."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("width", "height"), [(160, 80), (80, 160), (81, 97), (80, 80)])
@pytest.mark.parametrize("fraction", [0.875, 1.0, 0.5])
def test_pixels_are_the_centre_square(
    width: int, height: int, fraction: float, interpolation: str
) -> None:
    p = dataclasses.replace(LITE, crop_fraction=fraction, interpolation=interpolation)
    pixels = p.pixels(scene(width, height))
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    # Pixel i covers [i, i + 1) / 32 of the square; on a ramp, resizing gives its centre's value.
    side = int(fraction * min(width, height))
    inner = (np.arange(4, 28) + 0.5) / 32 * side - 0.5
    for channel, extent, line in ((0, width, pixels[16, 4:28]), (1, height, pixels[4:28, 16])):
        start = math.ceil((extent - side) / 2)
        np.testing.assert_allclose(line[:, channel], inner + start, atol=0.75)


@pytest.mark.parametrize(("width", "height"), [(41, 32), (32, 45), (57, 32)])
def test_a_crop_of_the_networks_size_is_a_copy(width: int, height: int) -> None:
    p = dataclasses.replace(LITE, resolution=28, crop_fraction=0.875)
    left, top = math.ceil((width - 28) / 2), math.ceil((height - 28) / 2)
    expected = np.asarray(scene(width, height))[top : top + 28, left : left + 28]
    np.testing.assert_array_equal(p.pixels(scene(width, height)), expected)


def test_pixels_of_a_photo_that_fits_are_its_own() -> None:
    p = dataclasses.replace(LITE, crop_fraction=1.0)
    np.testing.assert_array_equal(p.pixels(scene(32, 32)), np.asarray(scene(32, 32)))


def test_pixels_takes_any_mode() -> None:
    assert (LITE.pixels(Image.new("RGBA", (40, 40), (0, 0, 0, 0))) == 255).all()
    assert (LITE.pixels(Image.new("L", (40, 40), 77)) == 77).all()


@pytest.mark.parametrize("record", [LITE, IMAGENET])
def test_normalize(record: Preprocessing) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    expected = (pixels.astype(np.float64) - record.mean) / np.array(record.std)
    for values in (pixels, pixels.astype(np.float32), pixels.astype(np.float64)):
        normal = record.normalize(values)
        assert normal.dtype == np.float32
        np.testing.assert_allclose(normal, expected, rtol=1e-5, atol=1e-6)


def test_normalize_of_lite_is_exact() -> None:
    values = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    expected = (np.arange(256)[:, None].repeat(3, axis=1) - 127) / 128
    np.testing.assert_array_equal(LITE.normalize(values), expected.astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "layout", "expected"),
    [
        ("float32", "NHWC", lambda pixels: LITE.normalize(pixels)[None]),
        ("float32", "NCHW", lambda pixels: LITE.normalize(pixels).transpose(2, 0, 1)[None]),
        ("uint8", "NHWC", lambda pixels: pixels[None]),
        ("int8", "NHWC", lambda pixels: (pixels.astype(int) - 128)[None]),
        ("uint8", "NCHW", lambda pixels: pixels.transpose(2, 0, 1)[None]),
    ],
)
def test_a_file_is_fed_by_its_record_alone(dtype: str, layout: str, expected: Any) -> None:
    pixels = np.arange(2 * 128 * 3, dtype=np.uint8).reshape(2, 128, 3)
    record = Preprocessing.from_dict(json.loads(json.dumps(LITE.of_input(dtype, layout).to_dict())))
    fed = record.feed(pixels)
    assert fed.dtype == dtype
    assert fed.flags.c_contiguous
    np.testing.assert_array_equal(fed, expected(pixels))


@pytest.mark.parametrize("record", [LITE, IMAGENET])
def test_json_round_trip(record: Preprocessing) -> None:
    again = Preprocessing.from_dict(json.loads(json.dumps(record.to_dict())))
    assert again == record
    assert isinstance(again.mean, tuple)


def test_from_dict_fills_defaults_in() -> None:
    record = LITE.to_dict()
    for name in ("crop_fraction", "interpolation", "layout", "color", "dtype"):
        del record[name]
    assert Preprocessing.from_dict(record) == LITE


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"resolution": 0}, "resolution 0"),
        ({"resolution": 224.0}, r"resolution 224\.0"),
        ({"resolution": True}, "resolution True"),
        ({"mean": [127, 127]}, "mean .* three numbers"),
        ({"mean": 127}, "mean 127 is not three numbers"),
        ({"mean": [127, 127, "x"]}, "mean .* three numbers"),
        ({"mean": [127, 127, float("nan")]}, "mean .* three numbers"),
        ({"std": [1, 0, 1]}, "std .* not positive"),
        ({"labels": "cat"}, "labels"),
        ({"labels": ["cat", 3]}, "labels"),
        ({"crop_fraction": 1.1}, r"crop_fraction 1\.1"),
        ({"crop_fraction": 0}, "crop_fraction 0"),
        ({"crop_fraction": None}, "crop_fraction None"),
        ({"interpolation": "lanczos"}, "'lanczos' is not one of bicubic, bilinear"),
        ({"layout": "CHWN"}, "'CHWN' is not one of NHWC, NCHW"),
        ({"dtype": "int16"}, "'int16' is not one of float32, uint8, int8"),
        ({"color": ["RGB"]}, "color"),
        ({"gamma": 2.2}, "unknown field gamma"),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Preprocessing.from_dict(LITE.to_dict() | change)


def test_missing_field_is_named() -> None:
    record = LITE.to_dict()
    del record["std"]
    with pytest.raises(UsageError, match="missing field std"):
        Preprocessing.from_dict(record)


@pytest.mark.parametrize("record", [None, [], "RGB"])
def test_not_a_record(record: Any) -> None:
    with pytest.raises(UsageError, match="not a table"):
        Preprocessing.from_dict(record)


def test_an_input_of_bytes_keeps_the_colour_of_the_margin():
    """Its own mean is 0, and a padded photo has the mean of the weights around it."""
    record = Preprocessing(16, (120.0, 110.4, 100.6), (60.0,) * 3, (), fit="pad")
    own = record.of_input("uint8")
    assert (own.mean, own.margin) == ((0.0,) * 3, record.margin) == ((0.0,) * 3, (120, 110, 101))
    photo = Image.new("RGB", (32, 16), "red")
    assert np.array_equal(own.pixels(photo), record.pixels(photo))
    assert Preprocessing.from_dict(json.loads(json.dumps(own.to_dict()))) == own
    assert "margin_color" not in dataclasses.replace(record, fit="crop").of_input("int8").to_dict()


@pytest.mark.parametrize("color", [(1, 2), (0, 0, 256), (0.5, 0, 0), "red"])
def test_a_margin_is_of_three_bytes(color):
    with pytest.raises(UsageError, match="margin_color"):
        Preprocessing(16, (0.0,) * 3, (1.0,) * 3, (), fit="pad", margin_color=color)
