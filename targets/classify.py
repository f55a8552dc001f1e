"""Classifies photos with a model file on this host, as `edgekit run` shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.classifier import PROBABILITY, refuse, softmax
from edgekit.data.images import decode_photo
from edgekit.data.label_files import fit_labels
from edgekit.data.normalization import Normalization
from edgekit.data.test_image import TEST_PICTURE, draw
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.targets.measure.isolated import Delegate, Effort
from edgekit.targets.photo_model import open_photo_model

SCHEMA_VERSION = 1


def classify(
    path: StrPath,
    photos: Sequence[StrPath] = (),
    *,
    delegate: Delegate | None = None,
    top: int = 5,
    effort: Effort | None = None,
    normalization: Normalization | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs a model once on each photo, and then measures it on the first.

    Args:
        path: a .tflite, .onnx or .xml file; its metadata says how a photo is prepared, else the
            centre square is taken.
        photos: JPEG, PNG, WebP or BMP files; without any, a picture that is drawn.
        delegate: of a .tflite file; XNNPACK unless given.
        top: how many classes are named for a photo.
        effort: threads, runs and seconds; see `Effort`.
        normalization: of a float input, where the file does not state it or states it wrongly.
        progress: is called with the runs done and in all.

    Returns:
        JSON values: ``schema_version``, ``path``, ``delegate`` (name, library, device),
        ``runtime``, ``threads``, ``output`` ("logit" or "probability") and ``output_reason`` (what
        shows it), ``labels_note`` (how the file's labels differ from its output, or None),
        ``photos`` (photo, and top: index, label or None, score as the file gives it, probability;
        what is no finite number is None) and ``latency_ms`` as
        `edgekit.targets.measure.isolated.Answer` has it.

    Raises:
        UsageError: the file is no image classifier, or a photo or an argument cannot be used.
        MissingToolError: the runtime of the file is not installed.
        EdgekitError: as `edgekit.targets.measure.isolated.run`.
    """
    if top < 1:
        raise UsageError(f"the best {top} classes are none", hint="give 1 or more")
    delegate, effort = delegate or Delegate(), effort or Effort()
    model = open_photo_model(path)
    refuse(path, model.task.problem)
    delegate, how = model.check(normalization, delegate), model.how
    batch = np.stack(
        [how.pixels(decode_photo(photo)) for photo in photos] or [draw(how.resolution)]
    )
    answer = model.answer(batch, delegate, effort, normalization, progress)
    output, reason = model.kind(answer.scores)
    probabilities = answer.scores if output == PROBABILITY else softmax(answer.scores)
    labels = fit_labels(model.labels, answer.scores.shape[1])
    names = [str(photo) for photo in photos] or [TEST_PICTURE]
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(path),
        "delegate": asdict(delegate) | {"library": delegate.path},
        "runtime": answer.runtime,
        "threads": effort.threads,
        "output": output,
        "output_reason": reason,
        "labels_note": labels.note or model.labels_problem,
        "photos": [
            {"photo": name, "top": _best(scores, shares, labels.names, top)}
            for name, scores, shares in zip(names, answer.scores, probabilities, strict=True)
        ],
        "latency_ms": answer.latency,
    }


def _best(
    scores: npt.NDArray[np.float32],
    probabilities: npt.NDArray[Any],
    labels: Sequence[str],
    top: int,
) -> list[dict[str, Any]]:
    """The classes of the highest scores, the highest first; equal ones by index."""
    values, shares = scores.tolist(), probabilities.tolist()
    return [
        {
            "index": int(i),
            "label": labels[i] if labels else None,
            "score": values[i] if math.isfinite(values[i]) else None,
            "probability": shares[i] if math.isfinite(shares[i]) else None,
        }
        for i in np.argsort(-scores, kind="stable")[:top]
    ]
