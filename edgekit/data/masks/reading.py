"""Mask files in, class indices out: the one place where masks are decoded."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.images import damage_told
from edgekit.data.placement import IGNORED

#: As many as a byte can number, but for the one that is none.
MOST_CLASSES = IGNORED

_UNKNOWN = -1
_DEEP = "its values have 16 bits or more: class indices are 0 to 254 in 8 bits"


class MaskError(Exception):
    """A file that is no mask of the classes, though it is a sound image.

    Args:
        reason: what is wrong with it, in a few words.
        hint: what to do about it.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class MaskFormat:
    """What the values of mask files mean.

    Attributes:
        table: pairs of a value and the class index it stands for (255: none); without any, a
            value is the class index itself.
        is_color: whether the values are colours, red * 65536 + green * 256 + blue.
    """

    table: tuple[tuple[int, int], ...] = ()
    is_color: bool = False

    @cached_property
    def by_value(self) -> npt.NDArray[np.int16]:
        """Of an 8-bit mask: int16 [256], the class of each value, -1 for values of none."""
        if not self.table or self.is_color:
            return np.arange(256, dtype=np.int16)
        found = np.full(256, _UNKNOWN, np.int16)
        found[IGNORED] = IGNORED
        for value, index in self.table:
            found[value] = index
        return found

    @cached_property
    def by_color(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int16]]:
        """Colours, ascending, int32 [n], and their classes, int16 [n]."""
        pairs = np.array(sorted(self.table), np.int64).reshape(-1, 2)
        return pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int16)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {"table": [list(pair) for pair in self.table], "is_color": self.is_color}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> MaskFormat:
        """Reads what `to_dict` wrote."""
        table: Iterable[Any] = record["table"]
        return cls(tuple((int(value), int(index)) for value, index in table), record["is_color"])


#: Values are class indices, 255 is none.
PLAIN = MaskFormat()


def decode_mask(data: bytes, form: MaskFormat = PLAIN) -> Image.Image:
    """Decodes a mask.

    A palette (mode P) is not looked at, as its indices are the classes, unless classes are known
    by their colours. Grey values are indices always.

    Args:
        data: the bytes of a PNG or BMP.
        form: what its values mean.

    Returns:
        Mode L: class indices, 255 where a pixel is of none.

    Raises:
        UnreadableImageError: the file is empty, truncated or damaged.
        MaskError: it holds something other than classes.
    """
    with damage_told(None, data):
        image = Image.open(io.BytesIO(data), formats=("PNG", "BMP", "JPEG", "WEBP"))
        image.load()
    if image.format in ("JPEG", "WEBP"):
        raise MaskError(
            f"a {image.format} mask: compression changes values, and so classes", "save it as PNG"
        )
    if image.mode.startswith(("I", "F")):
        raise MaskError(_DEEP, "save it with 8 bits a pixel")
    if image.mode in ("L", "P", "1") and not (form.is_color and image.mode == "P"):
        return Image.fromarray(_classes_of_values(image, form))
    if form.is_color and image.mode in ("RGB", "RGBA", "P"):
        return Image.fromarray(_classes_of_colors(image.convert("RGB"), form))
    raise _not_indices(image)


def _classes_of_values(image: Image.Image, form: MaskFormat) -> npt.NDArray[np.uint8]:
    values = np.asarray(image).astype(np.uint8)
    classes = form.by_value[values]
    if (classes == _UNKNOWN).any():
        value = int(values[classes == _UNKNOWN][0])
        raise MaskError(
            f"it has the value {value}, which is no class",
            "give the value a class, or 255 for none",
        )
    return classes.astype(np.uint8)


def _classes_of_colors(image: Image.Image, form: MaskFormat) -> npt.NDArray[np.uint8]:
    pixels = np.asarray(image).astype(np.int32)
    values = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    colors, classes = form.by_color
    places = np.minimum(np.searchsorted(colors, values), len(colors) - 1)
    unknown = colors[places] != values
    if unknown.any():
        red, green, blue = pixels[unknown][0].tolist()
        raise MaskError(
            f"it has the colour {red} {green} {blue}, which is no class",
            "add the colour to the file of classes; a name 'void' or 'ignore' stands for none",
        )
    return classes[places].astype(np.uint8)


def _not_indices(image: Image.Image) -> MaskError:
    if image.mode not in ("RGB", "RGBA", "LA", "PA"):
        return MaskError(f"an image of mode {image.mode}, not of class indices", "save it as grey")
    pixels = np.asarray(image.convert("RGB"))
    if (pixels == pixels[..., :1]).all():
        return MaskError(
            f"a mask of mode {image.mode} whose channels are equal",
            "save it as grey (mode L): a pixel's value is then its class index",
        )
    return MaskError(
        "an RGB mask: its values are colours, not classes",
        "save class indices (mode L or P), or put a classes.txt beside the photos that has "
        "the name and the red, green and blue of a class in each line",
    )
