"""What a finished file answers for many photos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.batches import eval_batches
from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.runtimes.base import Classifier
from edgekit.system.paths import StrPath
from edgekit.tasks.registry import find_task


def predict_file(
    path: StrPath,
    photos: PhotoSet,
    preprocessing: Preprocessing,
    threads: int,
    advance: Callable[[int, int], None],
    kernels: str = "xnnpack",
) -> NDArray[Any]:
    """What a task keeps of a file's answers, [n, ...].

    Fed by the file's own metadata, as on the device: a wrong record would show here.

    Args:
        path: of the file.
        photos: n of them.
        preprocessing: how they are prepared.
        threads: of the runtime.
        advance: is called with the photos done, and all of them.
        kernels: of LiteRT, as it takes them.
    """
    from edgekit.runtimes.litert import LiteRT
    from edgekit.runtimes.open import open_classifier

    runtime: Classifier
    if kernels == "xnnpack":
        runtime = open_classifier(path, threads=threads)
    else:
        runtime = LiteRT(path, threads=threads, kernels=kernels)
    keep = find_task(preprocessing.task).keep
    outputs: list[NDArray[Any]] = []
    for pixels, _ in eval_batches(photos, preprocessing, 16):
        outputs.append(keep(runtime.run(pixels), preprocessing))
        advance(sum(map(len, outputs)), len(photos))
    return np.concatenate(outputs)
