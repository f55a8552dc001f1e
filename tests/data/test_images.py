"""Every kind of photo becomes the same upright RGB picture, and broken ones say why not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data.images import EXTENSIONS, UnreadableImageError, check, decode_image, to_rgb

RED, BLUE = (220, 30, 30), (30, 30, 220)


def two_halves(width: int = 48, height: int = 32) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def assert_two_halves(image: Image.Image, tolerance: int = 12) -> None:
    assert image.mode == "RGB"
    assert image.size == (48, 32)
    pixels = np.asarray(image).astype(int)
    assert abs(pixels[16, 8] - RED).max() <= tolerance
    assert abs(pixels[16, 40] - BLUE).max() <= tolerance


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 95}),
        ("BMP", {}),
    ],
)
def test_formats(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    data = encode(two_halves(), kind, **options)
    assert_two_halves(decode_image(data))
    file = tmp_path / "photo"
    file.write_bytes(data)
    assert_two_halves(decode_image(file))
    check(file)


# What a camera that holds the scene upright stores for each value of the tag.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    scene = two_halves()
    scene.paste((250, 250, 250), (0, 0, 12, 10))  # a mark at the top left tells all eight apart
    turn = STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(scene.transpose(turn) if turn is not None else scene, kind, exif=exif, quality=95)
    image = decode_image(data)
    assert_two_halves(image)
    assert min(np.asarray(image)[3, 4]) > 230


@pytest.mark.parametrize(
    ("times", "size"), [(1, (75, 53)), (2, (38, 27)), (4, (19, 14)), (8, (10, 7))]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_decoded_smaller(times: int, size: tuple[int, int], mode: str) -> None:
    data = encode(two_halves(75, 53).convert(mode), "JPEG", quality=95)
    image = decode_image(data, lambda stored: times)
    assert (image.mode, image.size) == ("RGB", size)
    if times == 1:
        assert image.tobytes() == decode_image(data).tobytes()
    pixels = np.asarray(image).astype(int)
    expected = np.asarray(two_halves().convert(mode).convert("RGB")).astype(int)
    assert abs(pixels[2, 1] - expected[2, 1]).max() <= 12
    assert abs(pixels[-2, -2] - expected[-2, -2]).max() <= 12


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (7, 7), (15, 9), (641, 479)])
@pytest.mark.parametrize("times", [1, 2, 4, 8])
def test_a_smaller_photo_is_never_smaller_than_allowed(size: tuple[int, int], times: int) -> None:
    image = decode_image(encode(Image.new("RGB", size), "JPEG"), lambda stored: times)
    assert image.width >= -(-size[0] // times)
    assert image.height >= -(-size[1] // times)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_shrink_is_told_the_upright_size_once(orientation: int, kind: str) -> None:
    scene, turn = two_halves(), STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(scene.transpose(turn) if turn is not None else scene, kind, exif=exif, quality=95)
    asked: list[tuple[int, int]] = []

    def shrink(stored: tuple[int, int]) -> int:
        asked.append(stored)
        return 2

    image = decode_image(data, shrink)
    assert asked == [(48, 32)]
    assert image.size == ((24, 16) if kind == "JPEG" else (48, 32))
    if kind != "JPEG":
        assert image.tobytes() == decode_image(data).tobytes()
    assert abs(np.asarray(image).astype(int)[4, 2] - RED).max() <= 12


def test_an_error_of_shrink_is_not_the_photos() -> None:
    def shrink(stored: tuple[int, int]) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        decode_image(encode(two_halves(), "JPEG"), shrink)


def test_broken_exif_does_not_spoil_a_photo() -> None:
    assert_two_halves(
        decode_image(encode(two_halves(), "JPEG", quality=95, exif=b"Exif\0\0garbage!"))
    )


def test_cmyk_jpeg() -> None:
    data = encode(two_halves().convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data  # PIL writes the marker, and with it inverted values, as Photoshop does
    assert_two_halves(decode_image(data))


def test_grey_of_every_depth() -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    expected = np.repeat(ramp[..., None], 3, axis=2)
    eight = Image.fromarray(ramp)
    sixteen = Image.fromarray(ramp.astype(np.uint16) * 257)
    for image in (eight, sixteen, eight.convert("LA")):
        np.testing.assert_array_equal(np.asarray(decode_image(encode(image, "PNG"))), expected)
    one = decode_image(encode(Image.fromarray(ramp > 127), "PNG"))
    np.testing.assert_array_equal(np.asarray(one), (expected > 127) * np.uint8(255))


def test_palette() -> None:
    assert_two_halves(decode_image(encode(two_halves().quantize(8), "PNG")))


def transparent_left(mode: str) -> bytes:
    """Red and half or fully transparent at the left, opaque blue at the right."""
    image = two_halves().convert("RGBA")
    image.paste((*RED, 0), (0, 0, 24, 32))
    if mode == "P":
        return encode(two_halves().quantize(2), "PNG", transparency=_index_of_left())
    if mode == "RGB":  # a colour that stands for transparency (tRNS)
        return encode(two_halves(), "PNG", transparency=RED)
    return encode(image, mode)


def _index_of_left() -> int:
    return int(np.asarray(two_halves().quantize(2))[0, 0])


@pytest.mark.parametrize("mode", ["PNG", "WEBP", "P", "RGB"])
def test_transparency_is_white(mode: str) -> None:
    image = decode_image(transparent_left(mode))
    assert image.mode == "RGB"
    assert image.getpixel((8, 16)) == (255, 255, 255)
    assert abs(np.array(image.getpixel((40, 16))) - BLUE).max() <= 12


def test_half_transparency_is_mixed_with_white() -> None:
    image = decode_image(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert image.getpixel((1, 1)) == (127, 127, 127)


def test_first_frame_of_an_animation() -> None:
    frames = [two_halves(), Image.new("RGB", (48, 32))]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert_two_halves(decode_image(data))


def test_to_rgb_keeps_rgb() -> None:
    image = two_halves()
    assert to_rgb(image) is image


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"just some text", "not a JPEG", id="text"),
        pytest.param(encode(noise(), "GIF"), "not a JPEG", id="gif"),
        pytest.param(encode(noise(), "JPEG")[:-300], "truncated", id="jpeg-tail"),
        pytest.param(encode(noise(), "JPEG", progressive=True)[:-300], "truncated", id="jpeg-prog"),
        pytest.param(encode(noise(), "JPEG")[:400], "damaged", id="jpeg-header"),
        pytest.param(encode(noise(), "PNG")[:-3000], "truncated", id="png-tail"),
        pytest.param(encode(noise(), "BMP")[:-3000], "truncated", id="bmp-tail"),
        pytest.param(encode(noise(), "WEBP")[:-300], "damaged", id="webp-tail"),
    ],
)
def test_unreadable(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    for read in (decode_image, check):
        with pytest.raises(UnreadableImageError, match=reason) as caught:
            read(file)
        assert caught.value.path == file
        assert str(file) in str(caught.value)
        with pytest.raises(UnreadableImageError, match=reason):
            read(data)
    with pytest.raises(UnreadableImageError, match=reason):
        decode_image(data, lambda stored: 8)


def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(noise(), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for read in (decode_image, check):
        with pytest.raises(UnreadableImageError, match="more than 2,000 pixels"):
            read(data)


@pytest.mark.parametrize("name", ["missing.jpg", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableImageError, match="directory"):
        decode_image(tmp_path / name)


def test_extensions_are_lower_case_suffixes() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp"} <= EXTENSIONS
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in EXTENSIONS)


@pytest.mark.parametrize(("orientation", "is_sideways"), [(1, False), (3, False), (6, True)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_check_says_how_a_photo_is_stored(
    tmp_path: Path, orientation: int, is_sideways: bool, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    Image.new("RGB", (90, 60)).save(path, kind, exif=exif)
    stored = check(path)
    assert stored.size == (90, 60)
    assert stored.is_sideways == is_sideways
    assert stored.upright == decode_image(path).size
    assert (stored.turn is None) == (orientation == 1)
