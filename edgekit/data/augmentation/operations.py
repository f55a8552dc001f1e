"""The operations that augmentation policies are made of, by Pillow.

Names and magnitudes are those of the released code (google/automl, efficientnetv2/autoaugment.py,
after Cubuk et al. 2018). A magnitude of 10 is the end of the range that AutoAugment
searched; RandAugment goes past it. Geometric operations go either way with equal chance, take the
nearest pixel as the released code does, and fill what comes into view with grey.

The released code writes the same operations in TensorFlow. It differs from Pillow in these:

* Contrast: the released code blends with a grey that depends on the number of pixels alone (the
  sum of the histogram over 256), Pillow with the photo's mean grey, as the papers have it.
* Translate and Cutout: the released constants are pixels, whatever the size of the input. Here
  they scale with the side; see `TRANSLATE` and `CUTOUT`.
* Color and Sharpness: TensorFlow truncates the grey and the smoothed values that it blends with,
  Pillow rounds them; a difference of one level.
* Solarize and Posterize past magnitude 10 and 20, where the numbers of the released code leave
  the range of uint8: here they change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Operation = Callable[[Image.Image, float, np.random.Generator], Image.Image]
"""Takes an RGB image, a magnitude of 0 or more, and a generator; returns a new image."""

GREY = (128, 128, 128)

TRANSLATE = 100 / 224
"""Translation at magnitude 10, over the side: RandAugment's 100 pixels at an input of 224.

AutoAugment's released 250 pixels would move a photo of 224 out of sight, so it has the same.
"""

CUTOUT = 40 / 224
"""Half the side of a cutout at magnitude 10, over the side: RandAugment's 40 pixels at 224."""


def auto_contrast(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Stretches each channel to 0 to 255; the magnitude has no effect."""
    return ImageOps.autocontrast(image)


def equalize(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Flattens the histogram of each channel; the magnitude has no effect."""
    return ImageOps.equalize(image)


def invert(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Turns each value v into 255 - v; the magnitude has no effect."""
    return ImageOps.invert(image)


def posterize(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Keeps the high bits: 4 at magnitude 10, and fewer, down to 1, at lower magnitudes.

    So a low magnitude is the strong one, as in the released code, and from 20 on nothing
    changes. One bit remains where the formula gives none, as TensorFlow's shift operations do.
    """
    return ImageOps.posterize(image, min(max(int(magnitude / 10 * 4), 1), 8))


def solarize(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Inverts values from a threshold on: all of them at magnitude 0, none from 10 on."""
    return ImageOps.solarize(image, int(magnitude / 10 * 256))


def solarize_add(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Adds to values below 128: 110 at magnitude 10."""
    addition = int(magnitude / 10 * 110)
    table = [min(v + addition, 255) if v < 128 else v for v in range(256)]
    return image.point(table * 3)


def color(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Blends with the photo in grey; see `_factor`."""
    return ImageEnhance.Color(image).enhance(_factor(magnitude))


def contrast(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Blends with the photo's mean grey; see `_factor`."""
    return ImageEnhance.Contrast(image).enhance(_factor(magnitude))


def brightness(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Blends with black; see `_factor`."""
    return ImageEnhance.Brightness(image).enhance(_factor(magnitude))


def sharpness(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Blends with the photo smoothed by 3x3 pixels; see `_factor`."""
    return ImageEnhance.Sharpness(image).enhance(_factor(magnitude))


def rotate(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Rotates about the centre, by 30 degrees at magnitude 10."""
    return image.rotate(_either_way(magnitude / 10 * 30, rng), fillcolor=GREY)


def shear_x(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Shifts rows, the lower the farther: 0.3 pixels a row at magnitude 10."""
    return _affine(image, (1, _either_way(magnitude / 10 * 0.3, rng), 0, 0, 1, 0))


def shear_y(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Shifts columns, the farther right the farther: 0.3 pixels a column at magnitude 10."""
    return _affine(image, (1, 0, 0, _either_way(magnitude / 10 * 0.3, rng), 1, 0))


def translate_x(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Shifts to a side, by `TRANSLATE` of the width at magnitude 10."""
    shift = _either_way(magnitude / 10 * TRANSLATE * image.width, rng)
    return _affine(image, (1, 0, shift, 0, 1, 0))


def translate_y(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Shifts up or down, by `TRANSLATE` of the height at magnitude 10."""
    shift = _either_way(magnitude / 10 * TRANSLATE * image.height, rng)
    return _affine(image, (1, 0, 0, 0, 1, shift))


def cutout(image: Image.Image, magnitude: float, rng: np.random.Generator) -> Image.Image:
    """Makes a square grey (DeVries and Taylor 2017), of twice `CUTOUT` a side at magnitude 10.

    Its centre is anywhere in the photo, so it may lie partly outside.
    """
    half = int(magnitude / 10 * CUTOUT * min(image.size))
    x, y = int(rng.random() * image.width), int(rng.random() * image.height)
    result = image.copy()
    result.paste(GREY, (x - half, y - half, x + half, y + half))
    return result


def _factor(magnitude: float) -> float:
    """The weight of the photo in a blend: 0.1 to 1.9; 1, at magnitude 5, changes nothing."""
    return magnitude / 10 * 1.8 + 0.1


def _either_way(value: float, rng: np.random.Generator) -> float:
    return value if rng.random() < 0.5 else -value


def _affine(
    image: Image.Image, matrix: tuple[float, float, float, float, float, float]
) -> Image.Image:
    """Takes each pixel (x, y) from (a x + b y + c, d x + e y + f)."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=GREY)


OPERATIONS: MappingProxyType[str, Operation] = MappingProxyType(
    {
        "AutoContrast": auto_contrast,
        "Equalize": equalize,
        "Invert": invert,
        "Rotate": rotate,
        "Posterize": posterize,
        "Solarize": solarize,
        "SolarizeAdd": solarize_add,
        "Color": color,
        "Contrast": contrast,
        "Brightness": brightness,
        "Sharpness": sharpness,
        "ShearX": shear_x,
        "ShearY": shear_y,
        "TranslateX": translate_x,
        "TranslateY": translate_y,
        "Cutout": cutout,
    }
)
"""All sixteen, by the names of the papers; the order is part of what a seed gives."""

_MOVING = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY", "Cutout")
COLOR_OPERATIONS: MappingProxyType[str, Operation] = MappingProxyType(
    {name: operation for name, operation in OPERATIONS.items() if name not in _MOVING}
)
"""The ten that leave every pixel where it is and what it shows."""
