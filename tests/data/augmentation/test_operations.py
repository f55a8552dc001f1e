"""The operations of the policies: what is known of each one, on small photos."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation import operations
from edgekit.data.augmentation.operations import CUTOUT, GREY, OPERATIONS, TRANSLATE

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 256, (32, 32, 3), np.uint8))
EITHER_WAY = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")


def apply(name: str, magnitude: float, image: Image.Image = NOISE, seed: int = 0) -> np.ndarray:
    """The result as int64 [height, width, 3]."""
    result = OPERATIONS[name](image, magnitude, np.random.default_rng(seed))
    assert (result.mode, result.size) == (image.mode, image.size)
    return np.asarray(result, np.int64)


def values(image: Image.Image = NOISE) -> np.ndarray:
    return np.asarray(image, np.int64)


def grey(*levels: int) -> Image.Image:
    """A photo of one row."""
    return Image.fromarray(np.repeat(np.uint8([levels])[..., None], 3, axis=-1))


def levels(name: str, magnitude: float, *given: int) -> list[int]:
    return apply(name, magnitude, grey(*given))[0, :, 0].tolist()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("magnitude", [0, 0.7, 9, 15.5, 30])
def test_all_magnitudes_and_sizes(name: str, magnitude: float) -> None:
    before = NOISE.tobytes()
    for seed in range(3):
        apply(name, magnitude, seed=seed)
        apply(name, magnitude, Image.new("RGB", (1, 1), "red"), seed)
    assert NOISE.tobytes() == before


@pytest.mark.parametrize("name", [*EITHER_WAY, "SolarizeAdd", "Cutout"])
def test_no_magnitude_no_change(name: str) -> None:
    for seed in range(4):
        np.testing.assert_array_equal(apply(name, 0, seed=seed), values())


@pytest.mark.parametrize("name", ["Color", "Contrast", "Brightness", "Sharpness"])
def test_blends_change_nothing_in_the_middle(name: str) -> None:
    np.testing.assert_array_equal(apply(name, 5), values())
    assert (apply(name, 0) != values()).any()
    assert (apply(name, 10) != values()).any()


def test_blends_go_the_right_way() -> None:
    def spread(name: str, magnitude: float) -> float:
        photo = apply(name, magnitude)
        return float(np.ptp(photo, axis=-1).mean() if name == "Color" else photo.std())

    for name in ("Color", "Contrast", "Sharpness"):
        assert spread(name, 0) < spread(name, 3) < spread(name, 5) < spread(name, 10)
    assert levels("Brightness", 0, 0, 100, 200) == [0, 10, 20]
    assert levels("Brightness", 10, 0, 100, 200) == [0, 190, 255]
    assert levels("Contrast", 0, 50, 150) == [95, 105]  # about the mean of 100


def test_invert_twice() -> None:
    once = OPERATIONS["Invert"](NOISE, 9, RNG)
    np.testing.assert_array_equal(values(once), 255 - values())
    np.testing.assert_array_equal(apply("Invert", 3, once), values())


def test_auto_contrast_stretches_each_channel() -> None:
    photo = Image.fromarray(np.uint8([[[10, 100, 7], [60, 150, 7], [110, 200, 7]]]))
    stretched = apply("AutoContrast", 9, photo)[0].T
    np.testing.assert_allclose(stretched, [[0, 127, 255], [0, 127, 255], [7, 7, 7]], atol=1)


def test_equalize_makes_levels_equally_frequent() -> None:
    dark = Image.fromarray(RNG.integers(0, 64, (128, 128, 3), np.uint8))
    flattened = apply("Equalize", 9, dark)
    counts, _ = np.histogram(flattened, bins=8, range=(0, 256))
    assert abs(counts / flattened.size - 1 / 8).max() < 0.03
    flat = Image.new("RGB", (8, 8), (3, 4, 5))
    np.testing.assert_array_equal(apply("Equalize", 9, flat), values(flat))


@pytest.mark.parametrize(
    ("magnitude", "bits"), [(0, 1), (2, 1), (5, 2), (6, 2), (7.5, 3), (10, 4), (15, 6), (30, 8)]
)
def test_posterize_keeps_bits(magnitude: float, bits: int) -> None:
    step = 2 ** (8 - bits)
    np.testing.assert_array_equal(apply("Posterize", magnitude), values() // step * step)


@pytest.mark.parametrize(("magnitude", "threshold"), [(0, 0), (5, 128), (10, 256), (30, 256)])
def test_solarize_inverts_from_a_threshold_on(magnitude: float, threshold: int) -> None:
    expected = np.where(values() < threshold, values(), 255 - values())
    np.testing.assert_array_equal(apply("Solarize", magnitude), expected)


def test_solarize_add_adds_to_the_darker_half() -> None:
    assert levels("SolarizeAdd", 10, 0, 100, 127, 128, 255) == [110, 210, 237, 128, 255]
    assert levels("SolarizeAdd", 30, 0, 127, 128) == [255, 255, 128]


@pytest.mark.parametrize("name", EITHER_WAY)
def test_geometry_goes_either_way_equally_often(name: str) -> None:
    seen = [apply(name, 9, seed=seed).tobytes() for seed in range(60)]
    counts = {result: seen.count(result) for result in seen}
    assert len(counts) == 2
    assert min(counts.values()) > 15


def ways(name: str, magnitude: float, image: Image.Image) -> set[bytes]:
    return {apply(name, magnitude, image, seed).astype(np.uint8).tobytes() for seed in range(20)}


def test_rotations_are_by_thirty_degrees() -> None:
    expected = {NOISE.rotate(angle, fillcolor=GREY).tobytes() for angle in (30, -30)}
    assert ways("Rotate", 10, NOISE) == expected
    quarter = {NOISE.rotate(angle).tobytes() for angle in (90, -90)}
    assert ways("Rotate", 30, NOISE) == quarter


def test_translations_are_a_share_of_the_side() -> None:
    photo = Image.fromarray(RNG.integers(0, 256, (56, 112, 3), np.uint8))
    pixels = np.asarray(photo)
    for axis, name, shift in ((1, "TranslateX", 50), (0, "TranslateY", 25)):
        assert shift == TRANSLATE * pixels.shape[axis]
        forth, back = np.full_like(pixels, GREY[0]), np.full_like(pixels, GREY[0])
        forth, back = np.moveaxis(forth, axis, 0), np.moveaxis(back, axis, 0)
        source = np.moveaxis(pixels, axis, 0)
        forth[shift:], back[:-shift] = source[:-shift], source[shift:]
        expected = {np.moveaxis(moved, 0, axis).tobytes() for moved in (forth, back)}
        assert ways(name, 10, photo) == expected


def test_shears_shift_by_a_share_of_the_distance() -> None:
    line = np.zeros((41, 41, 3), np.uint8)
    line[:, 20] = 255
    for name, photo in (("ShearX", line), ("ShearY", line.transpose(1, 0, 2))):
        image = Image.fromarray(np.ascontiguousarray(photo))
        for seed in range(4):
            sheared = apply(name, 10, image, seed)
            rows = sheared if name == "ShearX" else sheared.transpose(1, 0, 2)
            places = (rows[..., 0] == 255).argmax(axis=1)
            slope = np.polyfit(np.arange(41), places, 1)[0]
            assert abs(abs(slope) - 0.3) < 0.01
            assert places[0] == 20  # the first row stays


def test_a_cutout_is_a_grey_square() -> None:
    side, areas = 224, []
    for seed in range(40):
        photo = apply("Cutout", 10, Image.new("RGB", (side, side)), seed)
        rows, columns = np.nonzero(photo[..., 0])
        assert set(photo[rows, columns].ravel()) == {GREY[0]}
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        areas.append(len(rows))
    assert max(areas) == (2 * int(CUTOUT * side)) ** 2 == 80**2
    assert min(areas) < 80**2  # partly outside
    small = apply("Cutout", 10, Image.new("RGB", (56, 56)), seed=1)
    assert 0 < np.count_nonzero(small[..., 0]) <= 20**2


def test_every_operation_of_the_module_is_listed() -> None:
    public = {
        function
        for name, function in inspect.getmembers(operations, inspect.isfunction)
        if not name.startswith("_")
    }
    assert set(OPERATIONS.values()) == public
    assert len(OPERATIONS) == 16
