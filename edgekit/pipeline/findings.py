"""Files that are worse than the other forms of the same quantization, and where they differ.

All forms of one quantization hold the same integers, so that a file that is further from fp32 than
the others has a fault of its own: its writer's, or its runtime's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.data import Splits
from edgekit.graph import Graph
from edgekit.metrics import kl_by_photo
from edgekit.pipeline import steps
from edgekit.pipeline.stage import Outcome
from edgekit.report.document import Outlier
from edgekit.targets.forms import Form

if TYPE_CHECKING:
    from edgekit.departures import Departure

Outcomes = Mapping[str, Outcome]

#: A file is an outlier where its KL is more than so many times the median of the other forms'.
#: V2-B0's forms, which differ in where they round, are within 1.1; Lite0's stem with 7-bit weights
#: made it 5.5 on flowers and 12 on other photos.
RATIO = 2.0
#: And where it is more than so much above that median, in nats: below, no answer changes.
SMALLEST_EXCESS = 5e-4
#: And where the mean excess over the others, photo by photo, is above 0 by as many standard errors.
DEVIATIONS = 1.96
#: Photos on which operators are compared.
PHOTOS = 4
SIMULATION, TFLITE = "w8a8-sim", "w8a8-tflite"


def read_logits(outcomes: Outcomes, stage: str) -> NDArray[np.float32]:
    """The scores of one row, float32 [n, classes]."""
    path = outcomes[f"evaluate {stage}"].folder / steps.LOGITS
    logits: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return logits


def quantized_graph(outcomes: Outcomes) -> Graph:
    """The network that the int8 files were written from."""
    last = next(outcomes[role] for role in ("qat", "repair", "quantize") if role in outcomes)
    return Graph.load(last.folder / steps.GRAPH)


def find_outliers(
    outcomes: Outcomes, forms: Sequence[Form], files: Mapping[str, Path], splits: Splits
) -> list[Outlier]:
    """The files of a build that are beyond the noise of the others, each with its operator."""
    written = [form.row for form in forms if form.quantized]
    roles = [role for role in (SIMULATION, TFLITE, *written) if f"evaluate {role}" in outcomes]
    reference = read_logits(outcomes, "fp32-torch")
    divergences = {role: kl_by_photo(reference, read_logits(outcomes, role)) for role in roles}
    found = beyond_noise(divergences)
    if not found:
        return []
    preprocessing = steps.read_preprocessing(outcomes["weights"].folder)
    count = len(splits.val)
    chosen = np.linspace(0, count - 1, min(PHOTOS, count)).round().astype(int)
    photos = np.stack([preprocessing.pixels(splits.val.load(int(index))) for index in chosen])
    graph = quantized_graph(outcomes)
    scheme = steps.MIXED if steps.MIXED in files else steps.W8A8
    rows = {role: (role, files[role]) for role in written}
    rows[TFLITE] = (f"{scheme}-tflite" if scheme == steps.MIXED else TFLITE, files[scheme])
    outliers = []
    for role, (kl, others) in found.items():
        stage, path = rows[role]
        departure = _find_departure(path, graph, photos)
        outliers.append(
            Outlier(
                stage=stage,
                kl=kl,
                others_kl=others,
                tensor=departure.tensor if departure else None,
                operator=departure.operator if departure else None,
                steps=departure.steps if departure else None,
                first=departure.first if departure else None,
            )
        )
    return outliers


def beyond_noise(
    divergences: Mapping[str, NDArray[np.float64]],
) -> dict[str, tuple[float, float]]:
    """Which files are beyond the noise of the other forms.

    Args:
        divergences: of every form of one quantization, KL from fp32 by photo. The simulation is one
            that others are compared with, and no file.

    Returns:
        By form its mean KL, and the median of the others' means.
    """
    found = {}
    for role, own in divergences.items():
        others = [values for name, values in divergences.items() if name != role]
        if role == SIMULATION or not others:
            continue
        kl, typical = float(own.mean()), float(np.median([values.mean() for values in others]))
        excess = own - np.mean(others, axis=0)
        error = float(excess.std(ddof=1) / np.sqrt(len(excess))) if len(excess) > 1 else np.inf
        least = max(RATIO * typical, typical + SMALLEST_EXCESS)
        # A form whose answers are not finite has no KL: it is beyond any noise.
        if not np.isfinite(kl) or (kl > least and excess.mean() > DEVIATIONS * error):
            found[role] = (kl, typical)
    return found


def _find_departure(path: Path, graph: Graph, photos: NDArray[np.uint8]) -> Departure | None:
    from edgekit.departures import find_departure

    try:
        return find_departure(path, graph, photos)
    except Exception:  # a runtime's own, too: a report that lacks an operator is better than none
        return None
