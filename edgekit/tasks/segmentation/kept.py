"""What is kept of maps: the class of each pixel, and the logits of every fourth one.

The logits of 200 photos of 256 px in 12 classes are 630 MB; what is kept of them is 32 MB. All
figures that count answers are of every pixel. Those that need probabilities (the divergence from
a reference, the drop that it lets expect, the loss by which photos are the hardest) are of every
fourth pixel of every fourth row.

A kept array is a structured one [n], so that it is saved, concatenated and indexed by image. Its
fields are ``classes`` uint8 [height, width] and, of what has logits, ``logits`` float16
[height / 4, width / 4, classes] with the highest of each pixel at 0: a softmax does not change by
that, and half floats are finest there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError

STEP = 4
#: What a mask has where a pixel is of no class.
IGNORED = 255
#: The lowest logit below the highest that half floats hold; its probability is 0.
LOWEST = -60000.0


def keep(outputs: NDArray[Any]) -> NDArray[Any]:
    """What is kept of outputs; what is kept already stays as it is.

    Args:
        outputs: logits, real [n, height, width, classes], or classes, [n, height, width] or
            [n, height, width, 1], of a file that ends with them. They may be smaller than the
            input: figures that compare them with labels enlarge them by the nearest pixel.

    Returns:
        A structured array [n]; of ties the lower class.

    Raises:
        UsageError: they are no maps, or of more than 255 classes.
    """
    if outputs.dtype.names:
        return outputs
    if outputs.ndim not in (3, 4):
        raise UsageError(
            f"outputs of shape {list(outputs.shape)} are not maps of classes or of logits"
        )
    if outputs.ndim == 3 or outputs.shape[3] == 1:
        return _of_classes(outputs.reshape(outputs.shape[:3]))
    n, height, width, classes = outputs.shape
    if classes > IGNORED:
        raise UsageError(f"{classes} classes are too many", cause="a mask holds at most 255")
    grid = outputs[:, _start(height) :: STEP, _start(width) :: STEP].astype(np.float32)
    fields = [("classes", np.uint8, (height, width)), ("logits", np.float16, grid.shape[1:])]
    kept = np.empty(n, fields)
    kept["classes"] = outputs.argmax(axis=3)
    with np.errstate(invalid="ignore"):  # two infinite logits: what is not a number stays so
        kept["logits"] = np.maximum(grid - grid.max(axis=3, keepdims=True), LOWEST)
    return kept


def _of_classes(classes: NDArray[Any]) -> NDArray[Any]:
    if classes.size and not (classes.min() >= 0 and classes.max() < IGNORED):
        raise UsageError(
            f"a map has the classes {classes.min()} to {classes.max()}",
            cause="they must be from 0 to 254",
        )
    kept = np.empty(len(classes), [("classes", np.uint8, classes.shape[1:])])
    kept["classes"] = classes
    return kept


def classes_of(kept: NDArray[Any]) -> NDArray[np.uint8]:
    """The class of each pixel, uint8 [n, height, width]."""
    found: NDArray[np.uint8] = kept["classes"]
    return found


def has_logits(kept: NDArray[Any]) -> bool:
    """Whether it was logits and not classes that a network answered."""
    return "logits" in (kept.dtype.names or ())


def logits_of(kept: NDArray[Any]) -> NDArray[np.float16]:
    """The logits of every fourth pixel, float16 [n, height / 4, width / 4, classes]."""
    found: NDArray[np.float16] = kept["logits"]
    return found


def on_grid(maps: NDArray[Any]) -> NDArray[Any]:
    """The pixels of maps [n, height, width, ...] that logits are kept of."""
    return maps[:, _start(maps.shape[1]) :: STEP, _start(maps.shape[2]) :: STEP]


def resize(classes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Maps [n, …, …] in another size, uint8 [n, height, width], by the nearest pixel."""
    rows, columns = (
        ((np.arange(length) + 0.5) * old / length).astype(int)
        for length, old in zip((height, width), classes.shape[1:], strict=True)
    )
    return classes[:, rows[:, None], columns]


def class_count(kept: NDArray[Any], *others: NDArray[Any]) -> int:
    """How many classes maps have: by their logits, else as many as maps or masks name.

    Args:
        kept: of n images.
        *others: kept ones, or masks uint8 [n, height, width].
    """
    for maps in (kept, *others):
        if has_logits(maps):
            return int(maps["logits"].shape[-1])
    named = [classes_of(maps) if maps.dtype.names else maps for maps in (kept, *others)]
    highest = (int(maps[maps != IGNORED].max(initial=0)) for maps in named)
    return max(highest) + 1


def _start(length: int) -> int:
    return min(STEP // 2, (length - 1) // 2)
