"""Small photos with masks, written as the layouts of published data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (12, 8)  # width and height


def write_photo(path: Path, content: int, size: tuple[int, int] = SIZE, **options: Any) -> Path:
    """Writes a photo whose bytes differ for each ``content``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(content).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def classes_of(number: int, classes: int = 3, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Class indices: bands of all classes, moved by ``number``, and a column of 255."""
    values = (np.add.outer(np.arange(size[1]), np.arange(size[0])) // 2 + number) % classes
    values[:, 0] = 255
    return values.astype(np.uint8)


def write_mask(path: Path, values: np.ndarray, palette: bool = False) -> Path:
    """Writes values as a PNG of mode L or P; the palette has other values than the indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(values.astype(np.uint8))
    if palette:
        mask.putpalette([(7 * i + 3) % 256 for i in range(768)])
    mask.save(path)
    return path


def write_pairs(
    photos: Path, masks: Path, count: int, first: int = 0, suffix: str = ".jpg", mask: str = ".png"
) -> None:
    """Writes photos p000.jpg, ... and masks p000.png, ... of three classes."""
    for number in range(first, first + count):
        write_photo(photos / f"p{number:03d}{suffix}", number)
        write_mask(masks / f"p{number:03d}{mask}", classes_of(number))


def write_data_set(root: Path, count: int = 20) -> Path:
    """Writes ``images/``, ``masks/`` and a file of three classes."""
    write_pairs(root / "images", root / "masks", count)
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("road\ncar\nsky\n")
    return root
