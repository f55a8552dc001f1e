"""Which operations a photo goes through: RandAugment and AutoAugment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from edgekit.data.augmentation.operations import OPERATIONS, Operation

POLICIES = ("none", "rand", "auto")
"""No operations, RandAugment, AutoAugment v0."""

SubPolicy = tuple[tuple[str, float, float], tuple[str, float, float]]
"""Two operations in turn, each a name, a probability and a magnitude."""

AUTOAUGMENT_V0: tuple[SubPolicy, ...] = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)
"""The 25 sub-policies found on ImageNet (Cubuk et al. 2018), as the released code has them
(policy_v0 in google/automl, efficientnetv2/autoaugment.py)."""


def rand_augment(
    image: Image.Image,
    layers: int,
    magnitude: float,
    rng: np.random.Generator,
    operations: Mapping[str, Operation] = OPERATIONS,
) -> Image.Image:
    """RandAugment (Cubuk et al. 2019): random operations in turn, all of one magnitude.

    Any of the operations is as likely in any layer, and always applied, as in the
    released code (distort_image_with_randaugment).

    Args:
        image: RGB.
        layers: how many operations; N in the paper.
        magnitude: 0 to 30, whole or not; M in the paper.
        rng: drawn from.
        operations: those that are drawn; the paper has all sixteen.

    Returns:
        An image of the same size; the same one if there are no layers.
    """
    names = tuple(operations)
    for _ in range(layers):
        name = names[int(rng.random() * len(names))]
        image = operations[name](image, magnitude, rng)
    return image


def auto_augment(
    image: Image.Image,
    rng: np.random.Generator,
    operations: Mapping[str, Operation] = OPERATIONS,
) -> Image.Image:
    """AutoAugment v0 (Cubuk et al. 2018): one of `AUTOAUGMENT_V0`, all equally likely.

    Args:
        image: RGB.
        rng: drawn from.
        operations: those that are applied; others are passed over.

    Returns:
        An image of the same size; the same one if chance applies neither operation.
    """
    chosen = AUTOAUGMENT_V0[int(rng.random() * len(AUTOAUGMENT_V0))]
    for name, probability, magnitude in chosen:
        if rng.random() < probability and name in operations:
            image = operations[name](image, magnitude, rng)
    return image
