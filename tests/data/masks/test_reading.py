"""Masks are read as indices, whatever their mode; what is no mask says why."""

from __future__ import annotations

import io

import numpy as np
import pytest
from mask_folders import classes_of
from PIL import Image

from edgekit.data.images import UnreadableImageError
from edgekit.data.masks.reading import PLAIN, MaskError, MaskFormat, decode_mask

VALUES = classes_of(0)


def saved(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def palette_mask(values: np.ndarray) -> Image.Image:
    mask = Image.fromarray(values)
    mask.putpalette([(7 * i + 3) % 256 for i in range(768)])
    return mask


def test_grey_and_palette_are_the_same_indices() -> None:
    for image in (Image.fromarray(VALUES), palette_mask(VALUES)):
        mask = decode_mask(saved(image))
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.array(mask), VALUES)


def test_a_palette_with_transparency_is_the_same_indices() -> None:
    file = io.BytesIO()
    palette_mask(VALUES).save(file, "PNG", transparency=0)
    np.testing.assert_array_equal(np.array(decode_mask(file.getvalue())), VALUES)


def test_black_and_white_is_two_classes() -> None:
    values = VALUES == 1
    mask = decode_mask(saved(Image.fromarray(values)))
    np.testing.assert_array_equal(np.array(mask), values.astype(np.uint8))


def test_a_table_gives_values_their_classes() -> None:
    form = MaskFormat(((7, 0), (33, 1), (0, 255)))
    values = np.array([[7, 33], [0, 255]], np.uint8)
    assert np.array(decode_mask(saved(Image.fromarray(values)), form)).tolist() == [
        [0, 1],
        [255, 255],
    ]


def test_colors_become_classes_in_rgb_and_in_a_palette() -> None:
    form = MaskFormat(((0xFF0000, 1), (0x000080, 0), (0, 255)), is_color=True)
    colors = np.array([[[255, 0, 0], [0, 0, 128]], [[0, 0, 0], [255, 0, 0]]], np.uint8)
    image = Image.fromarray(colors)
    for one in (image, image.convert("P", palette=Image.Palette.ADAPTIVE, colors=3)):
        assert np.array(decode_mask(saved(one), form)).tolist() == [[1, 0], [255, 1]]


def test_grey_values_are_indices_even_where_classes_have_colors() -> None:
    form = MaskFormat(((0xFF0000, 1), (0x000080, 0)), is_color=True)
    np.testing.assert_array_equal(
        np.array(decode_mask(saved(Image.fromarray(VALUES)), form)), VALUES
    )


RGB = Image.fromarray(np.random.default_rng(0).integers(0, 9, (4, 5, 3), np.uint8))
REFUSED = {
    "colors": (saved(RGB), PLAIN, "an RGB mask: its values are colours, not classes"),
    "equal channels": (saved(Image.new("RGB", (4, 4), (2, 2, 2))), PLAIN, "channels are equal"),
    "16 bits": (saved(Image.fromarray(np.full((4, 4), 300, np.uint16))), PLAIN, "16 bits"),
    "jpeg": (saved(Image.fromarray(VALUES), "JPEG"), PLAIN, "a JPEG mask: compression changes"),
    "webp": (saved(RGB, "WEBP"), PLAIN, "a WEBP mask"),
    "value": (saved(Image.fromarray(VALUES)), MaskFormat(((0, 0), (1, 1))), "the value 2"),
    "color": (
        saved(Image.new("RGB", (4, 4), (1, 2, 3))),
        MaskFormat(((0, 0),), is_color=True),
        "the colour 1 2 3",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_mask_says_why(case: str) -> None:
    data, form, message = REFUSED[case]
    with pytest.raises(MaskError) as caught:
        decode_mask(data, form)
    assert message in caught.value.reason
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", b"no image", saved(Image.fromarray(VALUES))[:40]])
def test_a_damaged_file_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        decode_mask(data)


def test_a_format_is_read_back_from_its_record() -> None:
    form = MaskFormat(((0xFF0000, 1), (5, 0)), is_color=True)
    assert MaskFormat.from_dict(form.to_dict()) == form
