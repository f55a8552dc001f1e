"""Masks drawn from COCO's JSON files, once, as PNG files of class indices.

A file of COCO's has half a gigabyte, and processes that train would each read it; and polygons are
drawn in longer than a PNG is decoded. `faster-coco-eval` draws them as COCO's own tools do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, to_builtins
from PIL import Image

from edgekit.data.coco_files import CocoPhoto, CocoRecord
from edgekit.data.masks.reading import MOST_CLASSES
from edgekit.data.photo_files import Progress
from edgekit.data.placement import IGNORED
from edgekit.errors import UsageError
from edgekit.system.download import writing
from edgekit.system.files import cache_folder, read_json, write_json
from edgekit.system.host import usable_cores
from edgekit.system.records import load_record
from edgekit.system.threads import ordered_map

_VERSION = 1  # of the drawing: another number makes every drawn mask stale
_INDEX = "index.json"
_REFUSAL = "cannot be read as COCO's JSON"
_HINT = (
    "it has images, annotations and categories; a panoptic one has its PNG files in the folder of "
    "the same name"
)
_Array = npt.NDArray[np.uint8]


class _Runs(Struct, frozen=True):
    """A mask as lengths of runs, packed into text or not."""

    size: tuple[int, int]
    counts: list[int] | str


class _Object(Struct, frozen=True):
    """An object in a photo: polygons [x, y, x, y, ...], or runs."""

    image_id: int | str
    category_id: int
    segmentation: list[list[float]] | _Runs | None
    iscrowd: bool | float | None = None
    area: float | None = None


class _Segment(Struct, frozen=True):
    """A thing in a panoptic PNG file."""

    id: int
    category_id: int


class _Panoptic(Struct, frozen=True):
    """A photo's PNG file and what is in it."""

    image_id: int | str
    file_name: str
    segments_info: tuple[_Segment, ...]


@dataclass(frozen=True)
class Rendered:
    """The masks of a file.

    Attributes:
        labels: the names of the classes.
        masks: PNG files of mode L, by the names of the photos' files.
    """

    labels: tuple[str, ...]
    masks: Mapping[str, Path]


def render(path: Path, kind: str, progress: Progress | None = None) -> Rendered:
    """Draws the masks of a file, unless they are there already.

    Classes are in the order of the categories' ids. Of panoptic and stuff files, what no
    annotation covers is of no class (255). Of others it is the category ``background``, which
    becomes class 0 where there is none; of objects that overlap, the smaller is in front.

    Args:
        path: the JSON file; of a panoptic one, the folder of the same name has its PNG files.
        kind: 'panoptic', 'stuff' or another.
        progress: called with ('masks', done, total).

    Raises:
        UsageError: it is not a file of COCO's.
        EdgekitError: the cache folder cannot be written to.
    """
    stat = path.stat()
    key = f"{_VERSION}\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{kind}"
    target = _folder() / hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
    if not (target / _INDEX).is_file():
        with writing(_folder()):
            _folder().mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=".part-", dir=_folder()))
            try:
                _render(path, kind, part, progress)
                shutil.rmtree(target, ignore_errors=True)
                os.replace(part, target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    index = read_json(target / _INDEX)
    return Rendered(
        tuple(index["labels"]), {name: target / file for name, file in index["masks"].items()}
    )


def _folder() -> Path:
    return cache_folder().with_name("masks")


def _render(path: Path, kind: str, folder: Path, progress: Progress | None) -> None:
    kinds: Any = CocoRecord[_Panoptic] if kind == "panoptic" else CocoRecord[_Object]
    record: CocoRecord[Any] = load_record(path, kinds, _REFUSAL, _HINT)
    categories = sorted(record.categories, key=lambda category: category.id)
    labels = [category.name for category in categories]
    classes = {category.id: index for index, category in enumerate(categories)}
    nothing = IGNORED
    if kind not in ("panoptic", "stuff"):
        if "background" not in labels:
            labels.insert(0, "background")
            classes = {key: index + 1 for key, index in classes.items()}
        nothing = labels.index("background")
    if len(labels) > MOST_CLASSES:
        raise UsageError(
            f"{path} has {len(labels)} categories",
            cause=f"masks of 8 bits hold {MOST_CLASSES} and a value for none",
            hint="merge some of them",
        )
    by_image: dict[int | str, list[Any]] = defaultdict(list)
    for annotation in record.annotations:
        by_image[annotation.image_id].append(annotation)
    draw = _panoptic_drawer(path, classes) if kind == "panoptic" else _drawer(classes, nothing)
    images = sorted(record.images, key=lambda image: image.file_name)
    wanted = [image for image in images if kind != "panoptic" or image.id in by_image]

    def write(numbered: tuple[int, CocoPhoto]) -> str:
        number, image = numbered
        name = f"{number:06d}.png"
        try:
            mask = draw(image, by_image.get(image.id, ()))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise _broken(path, error) from error
        Image.fromarray(mask).save(folder / name)
        return name

    masks: dict[str, str] = {}
    threads = min(8, usable_cores())
    with closing(ordered_map(write, enumerate(wanted), workers=threads, ahead=64)) as names:
        for image, name in zip(wanted, names, strict=True):
            masks[image.file_name] = name
            if progress:
                progress("masks", len(masks), len(wanted))
    write_json(folder / _INDEX, {"labels": labels, "masks": masks})


_Draw = Callable[[CocoPhoto, Sequence[Any]], _Array]


def _drawer(classes: Mapping[int, int], nothing: int) -> _Draw:
    """Draws polygons and run lengths."""
    from faster_coco_eval.core import mask as coder

    def draw(image: CocoPhoto, annotations: Sequence[_Object]) -> _Array:
        if not image.height or not image.width:
            raise ValueError(f"{image.file_name} has no height and width")
        height, width = int(image.height), int(image.width)
        mask = np.full((height, width), nothing, np.uint8)

        # Crowds first, then the larger ones.
        def order(one: _Object) -> tuple[bool, float]:
            return not one.iscrowd, -(one.area or 0)

        for one in sorted(annotations, key=order):
            shape = one.segmentation
            if not shape:
                continue
            if isinstance(shape, list):
                runs = coder.merge(coder.frPyObjects(shape, height, width))
            else:
                runs = to_builtins(shape)
                if isinstance(shape.counts, list):
                    runs = coder.frPyObjects(runs, height, width)
            mask[coder.decode(runs).astype(bool)] = classes[one.category_id]
        return mask

    return draw


def _panoptic_drawer(path: Path, classes: Mapping[int, int]) -> _Draw:
    """Reads the segments' ids off PNG files: red + 256 green + 65536 blue (panopticapi)."""
    folder = path.with_suffix("")

    def draw(image: CocoPhoto, annotations: Sequence[_Panoptic]) -> _Array:
        found = annotations[0]
        with Image.open(folder / found.file_name) as file:
            pixels = np.asarray(file.convert("RGB")).astype(np.int64)
        ids = pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
        known = {one.id: classes[one.category_id] for one in found.segments_info}
        values, inverse = np.unique(ids, return_inverse=True)
        table = np.array([known.get(int(value), IGNORED) for value in values], np.uint8)
        mask: _Array = table[inverse].reshape(ids.shape)
        return mask

    return draw


def _broken(path: Path, error: Exception) -> UsageError:
    if isinstance(error, OSError):
        cause = f"{error.strerror or error}: {error.filename or path}"
    elif isinstance(error, KeyError):
        cause = f"it lacks {error}"
    else:
        cause = str(error)
    return UsageError(f"{path} {_REFUSAL}", cause=cause, hint=_HINT)
