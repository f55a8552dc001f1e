"""The built-in dataset: ten classes of textured shapes, drawn on the fly from a seed.

A class is an outline, brighter than what is behind it. Everything else varies from photo to photo:
colours, textures, place, size, turn, stretch, light, things in front, and noise. How much is a
balance: a linear model on pixels stays under 60 %, and a convolutional network that begins with
random weights learns the classes from 2,000 photos within a few epochs.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from edgekit.data.images import Shrink

if TYPE_CHECKING:
    from typing_extensions import Self

Array = npt.NDArray[np.float32]

VERSION = 1
"""Of the drawing: another number for other photos."""

TRAIN_COUNT = 2000
VAL_COUNT = 1000

SPLITS = ("train", "val")
_CACHE_BYTES = 128 * 2**20
_SUPERSAMPLING = 4

# How much shapes vary. `benchmarks/synthetic_linear.py` measures what a linear model makes of it.
TEXTURE_CONTRAST = 0.35  # of a texture's two colours, over that of any two
_SIZE = (0.50, 0.85)  # of the photo's side
_TURN = (-20.0, 20.0)  # degrees
_STRETCH = (0.85, 1.18)  # width over height
_PLACE = 1.0  # distance from the centre, over what keeps a shape inside
CONTRAST = 0.22  # least difference in brightness to what is behind


def _polar(radii: Sequence[float], start: float = -90) -> Array:
    """Returns the outline through points at these radii, evenly spaced around the centre."""
    angles = np.radians(start + 360 * np.arange(len(radii)) / len(radii))
    points: Array = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return points.astype(np.float32)


def _heart() -> Array:
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 17, -(y + 2.5) / 15], axis=1).astype(np.float32)


def _crescent() -> Array:
    outer = np.radians(np.linspace(50, 310, 40))
    inner = np.radians(np.linspace(290, 70, 32))
    x = np.concatenate([np.cos(outer), 0.42 + 0.68 * np.cos(inner)])
    y = np.concatenate([np.sin(outer), 0.82 * np.sin(inner)])
    return np.stack([x + 0.2, y], axis=1).astype(np.float32)


def _points(*points: tuple[float, float]) -> Array:
    return np.array(points, np.float32)


_A = 0.34  # half the width of a bar
# Each class as polygons in [-1, 1] x [-1, 1], y downwards; the second one is a hole.
_OUTLINES: dict[str, tuple[Array, ...]] = {
    "arrow": (
        _points((0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 1), (-0.3, 1), (-0.3, -0.1), (-0.8, -0.1)),
    ),
    "crescent": (_crescent(),),
    "cross": (
        _points(
            *((_A, -1), (_A, -_A), (1, -_A), (1, _A), (_A, _A), (_A, 1)),
            *((-_A, 1), (-_A, _A), (-1, _A), (-1, -_A), (-_A, -_A), (-_A, -1)),
        ),
    ),
    "disc": (_polar([0.95] * 64),),
    "heart": (_heart(),),
    "hourglass": (
        _points((-0.8, -0.95), (0.8, -0.95), (0.12, 0), (0.8, 0.95), (-0.8, 0.95), (-0.12, 0)),
    ),
    "ring": (_polar([0.98] * 64), _polar([0.52] * 48)),
    "square": (_polar([1.2] * 4, start=-45),),
    "star": (_polar([1.08, 0.44] * 5),),
    "triangle": (_polar([1.15] * 3),),
}
LABELS = tuple(_OUTLINES)


@dataclass(frozen=True)
class DrawnPhotos:
    """What sets of drawn photos share: photo ``i`` depends on (seed, split, i) alone.

    Attributes:
        count: how many photos the split has.
        seed: at least 0; another seed draws other photos.
        split: 'train' or 'val'; they share no photo.
        resolution: height and width in pixels.
        indices: the photos of this set, if it is not the whole split.
    """

    #: Of its records.
    kind: ClassVar[str]

    count: int
    seed: int
    split: str
    resolution: int
    indices: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS or self.seed < 0 or self.count < 1 or self.resolution < 1:
            raise ValueError(f"no such photos: {self!r}")

    def members(self) -> Sequence[int]:
        """The numbers of its photos within the split."""
        return range(self.count) if self.indices is None else self.indices

    def generator(self, version: int, number: int) -> np.random.Generator:
        """What all of a photo is drawn from; ``version`` is that of the drawing."""
        return np.random.default_rng((version, self.seed, SPLITS.index(self.split), number))

    def __len__(self) -> int:
        return len(self.members())

    def subset(self, indices: Sequence[int]) -> Self:
        """Returns the photos at these indices, in this order."""
        members = self.members()
        return replace(self, indices=tuple(members[i] for i in indices))

    def to_dict(self) -> dict[str, Any]:
        """Returns the parameters as JSON values."""
        return {
            "kind": self.kind,
            "count": self.count,
            "seed": self.seed,
            "split": self.split,
            "resolution": self.resolution,
            "indices": None if self.indices is None else list(self.indices),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote."""
        indices = record["indices"]
        return cls(
            count=record["count"],
            seed=record["seed"],
            split=record["split"],
            resolution=record["resolution"],
            indices=None if indices is None else tuple(indices),
        )


@dataclass(frozen=True)
class SyntheticPhotos(DrawnPhotos):
    """Photos of the built-in dataset; a `edgekit.data.image_set.PhotoSet`.

    The class of photo ``i`` is ``i`` modulo the number of classes.
    """

    kind = "shapes"

    _drawn: dict[int, Image.Image] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Identifiers such as 'star/val-00017'."""
        return tuple(f"{LABELS[i % len(LABELS)]}/{self.split}-{i:05d}" for i in self.members())

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class indices into `LABELS`, int64 [n]."""
        return np.array(self.members(), np.int64) % len(LABELS)

    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        """Draws one photo: mode RGB, ``resolution`` by ``resolution``. Small sets are kept.

        Nothing is saved by drawing smaller, so ``shrink`` is not asked.
        """
        i = self.members()[index]
        if i in self._drawn:
            return self._drawn[i].copy()
        image = draw(i % len(LABELS), self.generator(VERSION, i), self.resolution)
        if self.count * self.resolution**2 * 3 <= _CACHE_BYTES:
            self._drawn[i] = image.copy()
        return image

    def label(self, index: int) -> Any:
        """Returns the class index of one photo, int64."""
        return self.labels[index]

    def digest(self) -> str:
        """Returns the SHA-256 over what determines the photos, and over ten of them, in hex."""
        digest = hashlib.sha256(f"{VERSION} {self.to_dict()}".encode())
        for index in range(min(10, len(self))):  # shows a change of the drawing itself
            digest.update(self.load(index).tobytes())
        return digest.hexdigest()


def draw(label: int, rng: np.random.Generator, resolution: int) -> Image.Image:
    """Draws one photo of a class.

    Args:
        label: index into `LABELS`.
        rng: all variation comes from it.
        resolution: height and width in pixels; the scene is the same for all, but for noise.

    Returns:
        RGB, ``resolution`` by ``resolution``.
    """
    behind, front = draw_colors(rng)
    scene = draw_texture(rng, behind, resolution)
    shape = draw_texture(rng, front, resolution)
    covered = draw_outline(label, rng, resolution)
    scene += covered[..., None] * (shape - scene)
    scene, _ = occlude(rng, scene, resolution)
    return expose(rng, scene, resolution)


def expose(rng: np.random.Generator, scene: Array, resolution: int) -> Image.Image:
    """Lights a scene, float32 [resolution, resolution, 3], adds noise, and makes it a photo."""
    scene *= _light(rng, resolution)[..., None]
    noise = rng.standard_normal(scene.shape, np.float32)
    scene += rng.uniform(0.0, 0.04) * noise
    return Image.fromarray((np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8))


def draw_colors(rng: np.random.Generator) -> tuple[Array, Array]:
    """Draws two colours for what is behind and two for the clearly brighter shape, [2, 3] each."""
    while True:
        pairs = rng.random((2, 2, 3), np.float32)
        pairs[:, 1] = pairs[:, 0] + TEXTURE_CONTRAST * (pairs[:, 1] - pairs[:, 0])
        behind, front = pairs.mean(axis=(1, 2))
        if front - behind > CONTRAST:
            return pairs[0], pairs[1]


def draw_brighter(rng: np.random.Generator, behind: Array) -> Array:
    """Draws two colours of a shape that is clearly brighter than what is behind, [2, 3]."""
    while True:
        pair = rng.random((2, 3), np.float32)
        pair[1] = pair[0] + TEXTURE_CONTRAST * (pair[1] - pair[0])
        if pair.mean() - behind.mean() > CONTRAST:
            return pair


@functools.lru_cache(maxsize=8)
def _grid(resolution: int) -> tuple[Array, Array]:
    """Returns x and y of the pixel centres in [-1, 1], [resolution, resolution] each."""
    y, x = (2 * np.indices((resolution, resolution), np.float32) + 1) / resolution - 1
    return x, y


def draw_texture(rng: np.random.Generator, colors: Array, resolution: int) -> Array:
    """Mixes two colours by a random pattern: float32 [resolution, resolution, 3]."""
    x, y = _grid(resolution)
    angle, phase = rng.uniform(0, 2 * math.pi, 2)
    frequency = rng.uniform(4, 14)
    across = x * math.cos(angle) + y * math.sin(angle)
    along = y * math.cos(angle) - x * math.sin(angle)
    kind = rng.integers(5)
    if kind == 0:  # stripes
        mix = 0.5 + 0.5 * np.sin(frequency * across + phase)
    elif kind == 1:  # checks
        waves = np.sin(frequency * across + phase) * np.sin(frequency * along + phase)
        mix = np.clip(0.5 + 4 * waves, 0, 1)
    elif kind == 2:  # blotches
        cells = rng.random((int(frequency), int(frequency)), np.float32)
        blotches = Image.fromarray(cells).resize((resolution, resolution), Image.Resampling.BICUBIC)
        mix = np.asarray(blotches)
    elif kind == 3:  # gradient
        mix = 0.5 + 0.4 * across
    else:  # spots
        mix = np.clip(2 * (np.cos(frequency * across) + np.cos(frequency * along)) - 1.5, 0, 1)
    texture: Array = colors[0] + mix[..., None].astype(np.float32) * (colors[1] - colors[0])
    return texture


def place_outline(
    label: int, rng: np.random.Generator, sizes: tuple[float, float] = _SIZE
) -> tuple[Array, ...]:
    """Draws the place, size, turn and stretch of an outline.

    Args:
        label: index into `LABELS`.
        rng: all variation comes from it.
        sizes: the least and the most size, over the photo's side.

    Returns:
        Polygons, float [points, 2] each: x and y in [-1, 1] over the photo, which the outline may
        exceed a little; the second one is a hole.
    """
    size = rng.uniform(*sizes)
    turn = math.radians(rng.uniform(*_TURN))
    stretch = math.sqrt(rng.uniform(*_STRETCH))
    place = rng.uniform(-1, 1, 2) * (1 - size) * _PLACE
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    matrix = size * np.diag([stretch, 1 / stretch]) @ rotation
    return tuple(outline @ matrix + place for outline in _OUTLINES[LABELS[label]])


def fill_outline(
    polygons: Sequence[Array], resolution: int, part: tuple[int, int, int, int] | None = None
) -> Array:
    """Draws an outline: the share of each pixel that it covers.

    Args:
        polygons: as `place_outline` gives them.
        resolution: height and width of the photo in pixels.
        part: left, top, right and bottom of what is drawn of the photo; None for all.

    Returns:
        float32 [height, width] of the part, in [0, 1].
    """
    left, top, right, bottom = part or (0, 0, resolution, resolution)
    size = ((right - left) * _SUPERSAMPLING, (bottom - top) * _SUPERSAMPLING)
    canvas = Image.new("L", size)
    pen = ImageDraw.Draw(canvas)
    first = np.array([left, top]) * _SUPERSAMPLING
    for polygon, fill in zip(polygons, (255, 0), strict=False):
        points = (polygon + 1) * (resolution * _SUPERSAMPLING / 2) - 0.5 - first
        pen.polygon(points.ravel().tolist(), fill=fill)
    return (np.asarray(canvas.reduce(_SUPERSAMPLING)) / 255).astype(np.float32)


def draw_outline(
    label: int,
    rng: np.random.Generator,
    resolution: int,
    sizes: tuple[float, float] = _SIZE,
) -> Array:
    """Draws the outline at a random place, size, turn and stretch: the share of each pixel.

    Args:
        label: index into `LABELS`.
        rng: all variation comes from it.
        resolution: height and width in pixels.
        sizes: the least and the most size, over the photo's side.

    Returns:
        float32 [resolution, resolution], in [0, 1].
    """
    return fill_outline(place_outline(label, rng, sizes), resolution)


def occlude(
    rng: np.random.Generator, scene: Array, resolution: int
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Puts up to two small things in front; returns the scene, and which pixels they hide."""
    x, y = _grid(resolution)
    hidden = np.zeros((resolution, resolution), bool)
    for _ in range(rng.integers(3)):
        left, top = rng.uniform(-1, 0.9, 2)
        width, height = rng.uniform(0.08, 0.3, 2)
        color = rng.random(3, np.float32)
        inside = (abs(x - left) < width / 2) & (abs(y - top) < height / 2)
        scene = np.where(inside[..., None], color, scene)
        hidden |= inside
    return scene, hidden


def _light(rng: np.random.Generator, resolution: int) -> Array:
    """Returns the brightness of light from one side, [resolution, resolution]."""
    x, y = _grid(resolution)
    angle = rng.uniform(0, 2 * math.pi)
    slope = rng.uniform(0, 0.3)
    light = rng.uniform(0.75, 1.15) + slope * (x * math.cos(angle) + y * math.sin(angle))
    return light.astype(np.float32)
