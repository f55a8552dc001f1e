"""The built-in dataset of shapes with masks: what `edgekit.data.synthetic` draws, several a photo.

A photo has one to three shapes of different classes before a background, and small things in
front. The mask has the background as class 0 and the shapes from 1 on; what is in front hides a
shape, and counts as background.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data import synthetic
from edgekit.data.images import Shrink

VERSION = 1
"""Of the drawing: another number for other photos."""

TRAIN_COUNT = 2000
VAL_COUNT = 500
LABELS = ("background", *synthetic.LABELS)

# A photo takes 30 ms at a side of 224, and is drawn for its pixels and for its mask.
_CACHE_BYTES = 512 * 2**20
# Of the shapes of a photo with one, two and three of them, over its side.
_SIZES = ((0.50, 0.85), (0.40, 0.60), (0.34, 0.50))
# A shape that covers more of those behind it is drawn at another place, if there is one.
_MOST_COVERED = 0.1
_ATTEMPTS = 10


@dataclass(frozen=True)
class MaskedShapes(synthetic.DrawnPhotos):
    """Photos of the built-in dataset with masks; a `edgekit.data.image_set.PhotoSet`.

    One of the shapes of photo ``i`` is of the class 1 + ``i`` modulo 10.
    """

    kind = "masked shapes"

    _drawn: dict[int, tuple[Image.Image, Image.Image]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Identifiers such as 'val-00017'."""
        return tuple(f"{self.split}-{i:05d}" for i in self.members())

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """-1 for each photo, int64 [n]: a photo is of no class."""
        return np.full(len(self), -1, np.int64)

    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        """Draws one photo: mode RGB, ``resolution`` by ``resolution``. Small sets are kept.

        Nothing is saved by drawing smaller, so ``shrink`` is not asked.
        """
        return self._draw(index)[0].copy()

    def label(self, index: int) -> Image.Image:
        """Draws the mask of one photo: mode L, class indices into `LABELS`."""
        return self._draw(index)[1].copy()

    def _draw(self, index: int) -> tuple[Image.Image, Image.Image]:
        i = self.members()[index]
        if i not in self._drawn:
            rng = self.generator(VERSION, i)
            drawn = draw(i % len(synthetic.LABELS), rng, self.resolution)
            if self.count * self.resolution**2 * 4 > _CACHE_BYTES:
                return drawn
            self._drawn[i] = drawn
        return self._drawn[i]

    def digest(self) -> str:
        """Returns the SHA-256 over what determines the photos, and over ten of them, in hex."""
        digest = hashlib.sha256(f"{VERSION} {self.to_dict()}".encode())
        for index in range(min(10, len(self))):  # shows a change of the drawing itself
            for image in self._draw(index):
                digest.update(image.tobytes())
        return digest.hexdigest()


def draw(label: int, rng: np.random.Generator, resolution: int) -> tuple[Image.Image, Image.Image]:
    """Draws one photo and its mask.

    Args:
        label: index into `synthetic.LABELS`, of the shape that is surely in it.
        rng: all variation comes from it.
        resolution: height and width in pixels. The scene is the same for all, but for noise, and
            for shapes whose overlap is at the limit.

    Returns:
        RGB and L, ``resolution`` by ``resolution``. A pixel is of a shape where more than half
        of it is covered.
    """
    others = [other for other in range(len(synthetic.LABELS)) if other != label]
    count = int(rng.integers(1, 1 + len(_SIZES)))
    shown = [label, *rng.permutation(others)[: count - 1].tolist()]
    behind, _ = synthetic.draw_colors(rng)
    scene = synthetic.draw_texture(rng, behind, resolution)
    mask = np.zeros((resolution, resolution), np.uint8)
    for shape in rng.permutation(shown).tolist():
        covered = _place(shape, rng, mask, _SIZES[count - 1])
        texture = synthetic.draw_texture(rng, synthetic.draw_brighter(rng, behind), resolution)
        scene += covered[..., None] * (texture - scene)
        mask[covered > 0.5] = 1 + shape
    scene, hidden = synthetic.occlude(rng, scene, resolution)
    mask[hidden] = 0
    return synthetic.expose(rng, scene, resolution), Image.fromarray(mask)


def _place(
    shape: int,
    rng: np.random.Generator,
    mask: npt.NDArray[np.uint8],
    sizes: tuple[float, float],
) -> synthetic.Array:
    """Draws an outline, where it hides little of what the mask has: float32 in [0, 1]."""
    for _ in range(_ATTEMPTS):
        covered = synthetic.draw_outline(shape, rng, len(mask), sizes)
        inside = covered > 0.5
        if (mask[inside] > 0).sum() <= _MOST_COVERED * inside.sum():
            break
    return covered
