"""Photos in, plain upright RGB out: the one place where image files are decoded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

Shrink = Callable[[tuple[int, int]], int]
"""Told a photo's width and height; says how many times smaller it may be decoded: 1, 2, 4 or 8."""

Pixels = npt.NDArray[np.uint8]
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib"})
"""Suffixes (lower case) of the files in a folder that are taken for photos."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")

# What undoes each value of the EXIF orientation tag (EXIF 2.32, tag 0x0112). PIL's own
# `exif_transpose` also rewrites the EXIF block, and fails where that block is slightly broken.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_UPRIGHT[value] for value in (5, 6, 7, 8)}  # width and height change places


class UnreadableImageError(Exception):
    """A file that cannot be decoded; whether that stops a run is for the caller to say.

    Args:
        path: the file, or None for bytes in memory.
        reason: what is wrong with it, in a few words.
    """

    def __init__(self, path: StrPath | None, reason: str) -> None:
        path = Path(path) if path is not None else None
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def decode_image(source: StrPath | bytes, shrink: Shrink | None = None) -> Image.Image:
    """Decodes a JPEG, PNG, WebP or BMP image.

    Args:
        source: a file, or the bytes of one. Of an animation, the first frame is taken.
        shrink: called once with the upright (width, height) as stored. A JPEG is then decoded
            smaller by what it returns, sides rounded up, in a fraction of the time; other formats
            are decoded in full all the same.

    Returns:
        A fully decoded image of mode RGB, 8 bits a channel, turned upright as its EXIF orientation
        says; transparency is composited onto white.

    Raises:
        UnreadableImageError: the file cannot be read, is empty, truncated or damaged, is of another
            format, or is a decompression bomb.
    """
    path, data = _read(source)
    with damage_told(path, data):
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            image.load()  # a PNG may name its orientation after the pixels
        turn = _turn(image)
    if shrink is not None:
        width, height = image.size
        times = shrink((height, width) if turn in _SIDEWAYS else (width, height))
        if times > 1:
            image.draft(None, (max(1, width // times), max(1, height // times)))
    with damage_told(path, data):
        image.load()
        upright = to_rgb(image if turn is None else image.transpose(turn))
    return upright


@dataclass(frozen=True)
class Stored:
    """How a file has its pixels.

    Attributes:
        size: width and height.
        turn: what turns the image upright, if it is not.
    """

    size: tuple[int, int]
    turn: Image.Transpose | None

    @property
    def is_sideways(self) -> bool:
        """Whether width and height change places when it is turned upright."""
        return self.turn in _SIDEWAYS

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        width, height = self.size
        return (height, width) if self.is_sideways else (width, height)


def check(source: StrPath | bytes) -> Stored:
    """Raises what `decode` would, in a fraction of the time for large JPEGs.

    Raises:
        UnreadableImageError: see `decode`.
    """
    path, data = _read(source)
    with damage_told(path, data):
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        size = image.size
        image.draft(None, (1, 1))  # an eighth of the size: all data is read, little computed
        image.load()
        return Stored(size, _turn(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to RGB: 16 bits to 8, transparency composited onto white."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):  # 16-bit grey; keep the high byte, as libpng does for colour
        high_byte = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255)
        return Image.fromarray(high_byte.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        colors = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, colors).convert("RGB")
    return image.convert("RGB")


def _read(source: StrPath | bytes) -> tuple[Path | None, bytes]:
    if isinstance(source, bytes):
        return None, source
    path = Path(source)
    try:
        return path, path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(path, error.strerror or type(error).__name__) from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Returns what turns an image upright, if it is not."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a broken EXIF block does not spoil the photo
        return None
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


@contextmanager
def damage_told(path: StrPath | None, data: bytes) -> Iterator[None]:
    """Turns what PIL raises for a damaged file into an `UnreadableImageError`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # PIL raises a dozen types for damaged files
        where = None if path is None else Path(path)
        raise UnreadableImageError(where, _reason(error, data)) from error


def _reason(error: Exception, data: bytes) -> str:
    if not data:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "not a JPEG, PNG, WebP or BMP image, or its header is damaged"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    text = str(error) or type(error).__name__
    return "the file is truncated or damaged" if "truncated" in text.lower() else f"damaged: {text}"


def decode_photo(photo: StrPath) -> Image.Image:
    """Reads a photo that the user named; raises UsageError where it cannot be read."""
    try:
        return decode_image(Path(photo))
    except UnreadableImageError as error:
        hint = f"name its files: {photo}/*" if Path(photo).is_dir() else "a JPEG, PNG or WebP file"
        raise UsageError(f"{photo} cannot be read", cause=error.reason, hint=hint) from error
