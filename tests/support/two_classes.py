"""Photos of two classes that their brightness tells apart, in folders as a build takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("dark", "light")


def draw_classes(
    root: Path,
    counts: Mapping[str, int],
    means: tuple[int, int] = (60, 190),
    noise: int = 30,
    spread: int = 0,
) -> Path:
    """Draws 32 x 32 photos into SPLIT/CLASS, and returns the folder.

    Args:
        root: of the splits.
        counts: photos of each class, by the split.
        means: of the pixels of each class.
        noise: standard deviation from pixel to pixel.
        spread: of the means, from photo to photo; 0 for none.
    """
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for label, mean in zip(LABELS, means, strict=True):
            (root / split / label).mkdir(parents=True)
            for k in range(count):
                own = mean + rng.normal(0, spread) if spread else mean
                pixels = rng.normal(own, noise, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / label / f"{k}.png")
    return root
