"""Classifies photos with a .tflite file on this host, as `edgekit run` shows it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.converters.tflite_metadata import Metadata, read_metadata
from edgekit.errors import UsageError
from edgekit.images import UnreadableImageError, decode
from edgekit.preprocessing import Preprocessing
from edgekit.runtime import Pixels
from edgekit.targets import runner
from edgekit.targets.runner import TIMEOUT_S, Delegate

SCHEMA_VERSION = 1
TEST_PICTURE = "test picture"


def classify(
    path: str | Path,
    photos: Sequence[str | Path] = (),
    *,
    delegate: Delegate | None = None,
    threads: int = 1,
    top: int = 5,
    repeat: int = 10,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs a model once on each photo, and then measures it on the first.

    Args:
        path: the .tflite file; its metadata says how a photo is prepared, else the centre square
            is taken.
        photos: JPEG, PNG, WebP or BMP files; without any, a picture that is drawn.
        delegate: XNNPACK unless given.
        threads: of the kernels on the CPU.
        top: how many classes are named for a photo.
        repeat: how many runs are measured.
        timeout_s: how many seconds each step (load, run) may take.
        progress: is called with the runs done and in all.

    Returns:
        JSON values: ``schema_version``, ``path``, ``delegate`` (name, library, device),
        ``runtime``, ``threads``, ``output`` ("logit", "probability" or "" where the file does not
        say), ``photos`` (photo, and top: index, label or None, score; a score that is no finite
        number is None) and ``latency_ms`` as `runner.Answer` has it.

    Raises:
        UsageError: the file, a photo or an argument cannot be used.
        EdgekitError: as `runner.run`.
    """
    if top < 1:
        raise UsageError(f"the best {top} classes are none", hint="give --top 1 or more")
    delegate = delegate or Delegate()
    model = runner.read_classifier(path)
    metadata = read_metadata(path)
    height, width = model.tensors[model.inputs[0]].shape[1:3]
    if height != width:
        cause = f"its input is {height} x {width} pixels"
        raise UsageError(f"{path} does not take square photos", cause=cause)
    how = preparation(metadata, height)
    batch = np.stack([how.pixels(decode_photo(photo)) for photo in photos] or [draw(height)])
    answer = runner.run(
        path,
        batch,
        delegate=delegate,
        threads=threads,
        repeat=repeat,
        timeout_s=timeout_s,
        progress=progress,
    )
    names = [str(photo) for photo in photos] or [TEST_PICTURE]
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(path),
        "delegate": asdict(delegate) | {"library": delegate.path},
        "runtime": answer.runtime,
        "threads": threads,
        "output": metadata.output,
        "photos": [
            {"photo": name, "top": _best(scores, metadata.labels, top)}
            for name, scores in zip(names, answer.scores, strict=True)
        ],
        "latency_ms": answer.latency,
    }


def draw(size: int) -> Pixels:
    """Draws the test picture, the same on every machine: three crossing ramps with edges.

    Returns:
        uint8 [size, size, 3], RGB.
    """
    y, x = np.mgrid[:size, :size] * 256 // size
    return np.stack([x, y, (x ^ y)], axis=-1).astype(np.uint8)


def preparation(metadata: Metadata, size: int) -> Preprocessing:
    """The file's own record; without one the whole centre square."""
    if metadata.preprocessing is None:
        return Preprocessing(size, (0.0,) * 3, (1.0,) * 3, (), 1.0, "bilinear")
    return dataclasses.replace(Preprocessing.from_dict(metadata.preprocessing), resolution=size)


def decode_photo(photo: str | Path) -> Image.Image:
    """Reads a photo that the user named; raises UsageError where it cannot be read."""
    try:
        return decode(Path(photo))
    except UnreadableImageError as error:
        raise UsageError(f"{photo} cannot be read", cause=error.reason) from error


def _best(scores: npt.NDArray[np.float32], labels: Sequence[str], top: int) -> list[dict[str, Any]]:
    """The classes of the highest scores, the highest first; equal ones by index."""
    named = len(labels) == len(scores)
    values = scores.tolist()
    return [
        {
            "index": int(i),
            "label": labels[i] if named else None,
            "score": values[i] if math.isfinite(values[i]) else None,
        }
        for i in np.argsort(-scores, kind="stable")[:top]
    ]
