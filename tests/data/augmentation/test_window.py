"""Windows of photos: how large, where, and what is shown of the photo."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation.window import RandomWindow, Window, random_window
from edgekit.data.images import decode_image
from edgekit.data.placement import place
from edgekit.data.preprocessing import Preprocessing

SIDE = 32
NEAREST = Image.Resampling.NEAREST


def window(seed: int, size: tuple[int, int] = (90, 60), fit: str = "pad", area: float = 0.25,
           ratio: tuple[float, float] = (1.0, 1.0)) -> Window:  # fmt: skip
    return random_window(place(size, SIDE, fit), area, ratio, np.random.default_rng(seed))


def scales(one: Window, size: tuple[int, int]) -> tuple[float, float]:
    """How many pixels of the input one of the photo has, across and down."""
    left, top, right, bottom = one.box
    return (
        (one.shown[2] - one.shown[0]) / (right - left),
        (one.shown[3] - one.shown[1]) / (bottom - top),
    )


@pytest.mark.parametrize("fit", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("size", [(90, 60), (60, 90), (50, 50), (7, 300)])
def test_a_window_is_in_the_photo_and_in_the_input(fit: str, size: tuple[int, int]) -> None:
    for seed in range(200):
        one = window(seed, size, fit)
        left, top, right, bottom = one.box
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        first_x, first_y, last_x, last_y = one.shown
        assert 0 <= first_x < last_x <= SIDE
        assert 0 <= first_y < last_y <= SIDE


@pytest.mark.parametrize("fit", ["pad", "stretch", "crop"])
def test_scales_are_around_that_of_the_finished_model(fit: str) -> None:
    size = (400, 300)
    spot = place(size, SIDE, fit)
    own = (spot.shown[2] - spot.shown[0]) / (spot.source[2] - spot.source[0])
    found = np.array([scales(window(seed, size, fit), size)[0] / own for seed in range(500)])
    assert 0.47 < found.min() < 0.6
    assert 1.9 < found.max() <= 2.001
    assert abs(found.mean() - 1.25) < 0.08  # uniform between a half and two


def test_a_photo_keeps_its_shape_and_is_stretched_as_said() -> None:
    for seed in range(100):
        across, down = scales(window(seed, (400, 300)), (400, 300))
        assert across / down == pytest.approx(1, rel=0.09)  # whole pixels of the input
    found = [
        np.divide(*scales(window(seed, (400, 300), ratio=(0.5, 2.0)), (400, 300)))
        for seed in range(300)
    ]
    assert 0.45 < min(found) < 0.6
    assert 1.7 < max(found) < 2.2


def test_an_area_of_one_shows_all_of_a_padded_photo() -> None:
    for seed in range(20):
        one = window(seed, area=1.0)
        assert one.box == (0, 0, 90, 60)
        assert one.shown[2] - one.shown[0] == SIDE
        assert one.shown[3] - one.shown[1] == round(SIDE * 60 / 90)
    assert len({window(seed, area=1.0).shown for seed in range(20)}) > 3  # at any place


def test_a_part_shows_what_the_box_says() -> None:
    # Each pixel holds its own place.
    values = np.stack([*np.meshgrid(np.arange(90), np.arange(60)), np.zeros((60, 90))], -1)
    photo = Image.fromarray(values.astype(np.uint8))
    for seed in range(50):
        one = window(seed)
        part = np.array(one.part(photo, NEAREST)).astype(float)
        left, top, right, bottom = one.box
        across = left + (np.arange(part.shape[1]) + 0.5) * (right - left) / part.shape[1]
        down = top + (np.arange(part.shape[0]) + 0.5) * (bottom - top) / part.shape[0]
        assert np.abs(part[..., 0] + 0.5 - across).max() <= 0.51
        assert np.abs(part[..., 1].T + 0.5 - down).max() <= 0.51


def test_a_photo_that_is_decoded_smaller_shows_the_same() -> None:
    size = (643, 479)
    ramp = np.add.outer(np.linspace(0, 120, size[1]), np.linspace(0, 120, size[0]))
    file = io.BytesIO()
    Image.fromarray(np.stack([ramp.astype(np.uint8)] * 3, -1)).save(file, "JPEG", quality=95)
    preprocessing = Preprocessing(SIDE, (0, 0, 0), (1, 1, 1), ("a", "b"), fit="pad")
    shrunk = []
    for seed in range(30):
        random = RandomWindow(preprocessing, 0.25, (1, 1), np.random.default_rng(seed))
        small = decode_image(file.getvalue(), random.shrink)
        shrunk.append(round(size[0] / small.width))
        one = random.of(size)
        full = one.part(decode_image(file.getvalue()), Image.Resampling.BILINEAR)
        part = one.part(small, Image.Resampling.BILINEAR)
        assert part.size == full.size
        assert np.abs(np.array(part).astype(int) - np.array(full)).max() <= 4
    assert set(shrunk) == {8}  # 643 pixels to 32 and at most twice that
    assert window(0, (60, 60)).shrink() == 1


def test_what_a_photo_leaves_is_margin() -> None:
    one = Window((4, 2), 4, (0, 0, 4, 2), (0, 1, 4, 3))
    photo = Image.new("RGB", (4, 2), (9, 9, 9))
    filled = one.fill(one.part(photo, NEAREST), (1, 2, 3))
    assert (filled[1:3] == 9).all()
    assert (filled[[0, 3]] == (1, 2, 3)).all()
