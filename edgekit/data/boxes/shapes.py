"""The built-in dataset of shapes with boxes: what `edgekit.data.synthetic` draws, several a photo.

A photo has one to four shapes, some of one class, of many sizes, before a background with small
things that are no shapes. They overlap little, so that each can be told from the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data import synthetic
from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.images import Shrink

VERSION = 1
"""Of the drawing: another number for other photos."""

TRAIN_COUNT = 2000
VAL_COUNT = 400
LABELS = synthetic.LABELS

MOST_SHAPES = 4
# Over the photo's side. The smaller half is drawn as often as the larger: sizes are log-uniform.
_SIZES = (1 / 8, 1 / 2)
# Of the smaller of two boxes. What covers more is drawn at another place, or not at all.
_MOST_OVERLAP = 0.15
_ATTEMPTS = 20
# Photos that are drawn once and kept: as those with masks.
_CACHE_BYTES = 512 * 2**20


class _Shape(NamedTuple):
    """A shape of a photo.

    Attributes:
        label: index into `LABELS`.
        polygons: as `edgekit.data.synthetic.place_outline` gives them.
        box: top, left, bottom and right, of what is in the photo, over its side.
    """

    label: int
    polygons: tuple[synthetic.Array, ...]
    box: npt.NDArray[np.float64]


@dataclass(frozen=True)
class BoxedShapes(synthetic.DrawnPhotos):
    """Photos of the built-in dataset with boxes; a `edgekit.data.image_set.PhotoSet`.

    The first shape of photo ``i`` is of the class ``i`` modulo 10.
    """

    kind = "boxed shapes"

    _drawn: dict[int, Image.Image] = field(default_factory=dict, repr=False, compare=False)

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
        i = self.members()[index]
        if i in self._drawn:
            return self._drawn[i].copy()
        rng = self.generator(VERSION, i)
        image = _paint(_arrange(i % len(LABELS), rng), rng, self.resolution)
        if self.count * self.resolution**2 * 4 <= _CACHE_BYTES:
            self._drawn[i] = image.copy()
        return image

    def label(self, index: int) -> Boxes:
        """Returns the boxes of one photo: each as tight round its shape as can be."""
        i = self.members()[index]
        shapes = _arrange(i % len(LABELS), self.generator(VERSION, i))
        return make_boxes(
            [(shape.box * self.resolution).tolist() for shape in shapes],
            [shape.label for shape in shapes],
        )

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of one photo."""
        return self.resolution, self.resolution

    def digest(self) -> str:
        """Returns the SHA-256 over what determines the photos, and over ten of them, in hex."""
        digest = hashlib.sha256(f"{VERSION} {self.to_dict()}".encode())
        for index in range(min(10, len(self))):  # shows a change of the drawing itself
            digest.update(self.load(index).tobytes())
            digest.update(self.label(index).corners.tobytes())
        return digest.hexdigest()


def _arrange(label: int, rng: np.random.Generator) -> list[_Shape]:
    """Draws what is where; the first shape is of this class, and others follow while they fit."""
    count = int(rng.integers(1, 1 + MOST_SHAPES))
    wanted = [label, *rng.integers(0, len(LABELS), count - 1).tolist()]
    shapes: list[_Shape] = []
    for one in wanted:
        for _ in range(_ATTEMPTS):
            size = _SIZES[0] * (_SIZES[1] / _SIZES[0]) ** rng.random()
            polygons = synthetic.place_outline(one, rng, (size, size))
            shape = _Shape(one, polygons, _box_of(polygons))
            if not any(_overlap(shape.box, other.box) > _MOST_OVERLAP for other in shapes):
                shapes.append(shape)
                break
    return shapes


def _box_of(polygons: Sequence[synthetic.Array]) -> npt.NDArray[np.float64]:
    points = polygons[0].astype(np.float64)  # the second one is a hole
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return np.clip((np.array([top, left, bottom, right]) + 1) / 2, 0, 1)


def _overlap(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """The share of the smaller of two boxes that both have."""
    common = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    areas = [float((box[2:] - box[:2]).prod()) for box in (one, other)]
    return float(common.clip(0).prod()) / min(areas)


def _paint(shapes: Sequence[_Shape], rng: np.random.Generator, resolution: int) -> Image.Image:
    """Draws a photo: RGB, ``resolution`` by ``resolution``.

    The scene is the same at any resolution, but for noise.
    """
    behind, _ = synthetic.draw_colors(rng)
    scene = synthetic.draw_texture(rng, behind, resolution)
    scene, _ = synthetic.occlude(rng, scene, resolution)  # before the shapes: they hide none
    for shape in shapes:
        top, left = np.floor(shape.box[:2] * resolution).astype(int).tolist()
        bottom, right = np.ceil(shape.box[2:] * resolution).astype(int).tolist()
        covered = synthetic.fill_outline(shape.polygons, resolution, (left, top, right, bottom))
        height, width = covered.shape
        colors = synthetic.draw_brighter(rng, behind)
        texture = synthetic.draw_texture(rng, colors, max(height, width))[:height, :width]
        part = scene[top:bottom, left:right]
        part += covered[..., None] * (texture - part)
    return synthetic.expose(rng, scene, resolution)
