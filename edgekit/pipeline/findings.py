"""Files that are worse than they should be, by their divergence from fp32 photo by photo.

All forms of one quantization have the same scales, so that a file that is further from fp32 than
the others has a fault of its own: its writer's, or its runtime's. One that is rounded in fewer
places should be nearer, and is no measure for them. And a scheme that keeps more of
the numbers than another one, but less of the answers, has one of its calibration.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit import runs
from edgekit.data.selection import evenly
from edgekit.data.splits import Splits
from edgekit.networks.graph import Graph
from edgekit.networks.schemes import FINE_TO_COARSE, MIXED, W8A8
from edgekit.pipeline.stage import Outcome
from edgekit.report.document import Inversion, Outlier
from edgekit.targets.files import Form
from edgekit.training import outputs

if TYPE_CHECKING:
    from edgekit.parity.departures import Departure

Outcomes = Mapping[str, Outcome]

#: A file is an outlier where its KL is more than so many times the median of the other forms'.
#: V2-B0's forms are within 1.1; Lite0's stem with 7-bit weights made it 5.5 on flowers and 12 on
#: other photos.
RATIO = 2.0
#: And where it is more than so much above that median, in nats: below, no answer changes.
SMALLEST_EXCESS = 5e-4
#: And where the mean excess over the others, photo by photo, is above 0 by as many standard errors.
DEVIATIONS = 1.96
#: Photos on which operators are compared.
PHOTOS = 4
FLOAT, SIMULATION, TFLITE = "fp32-torch", "w8a8-sim", "w8a8-tflite"


def read_outputs(outcomes: Outcomes, stage: str) -> NDArray[Any]:
    """What is kept of the outputs of one row, [n, ...]."""
    path = outcomes[f"evaluate {stage}"].folder / runs.LOGITS
    outputs: NDArray[Any] = np.load(path, allow_pickle=False)
    return outputs


def quantized_graph(outcomes: Outcomes) -> Graph:
    """The network that the int8 files were written from."""
    last = next(outcomes[role] for role in ("qat", "repair", "quantize") if role in outcomes)
    return Graph.load(last.folder / outputs.GRAPH)


def find_outliers(
    outcomes: Outcomes, forms: Sequence[Form], files: Mapping[str, Path], splits: Splits
) -> list[Outlier]:
    """The files of a build that are beyond the noise of the others, each with its operator."""
    own = {
        form.row: outcomes[role]
        for form in forms
        if (role := f"quantize {form.scheme}") in outcomes
    }
    written = [form.row for form in forms if form.quantized and form.is_hosted]
    roles = [role for role in (SIMULATION, TFLITE, *written) if f"evaluate {role}" in outcomes]
    divergences = _divergences(outcomes, {role: role for role in roles})
    found = beyond_noise(divergences, own)
    if not found:
        return []
    preprocessing = runs.read_preprocessing(outcomes["weights"].folder)
    chosen = evenly(len(splits.val), PHOTOS)
    photos = np.stack([preprocessing.pixels(splits.val.load(index)) for index in chosen])
    graph = quantized_graph(outcomes)
    scheme = MIXED if MIXED in files else W8A8
    rows = {role: (role, files[role]) for role in written}
    rows[TFLITE] = (f"{scheme}-tflite" if scheme == MIXED else TFLITE, files[scheme])
    outliers = []
    for role, (kl, others) in found.items():
        stage, path = rows[role]
        network = graph
        if role in own:
            network = Graph.load(own[role].folder / outputs.GRAPH)
            # What it does not round is compared in the steps of the others.
            network = replace(network, quant={**graph.quant, **network.quant})
        departure = _find_departure(path, network, photos)
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


def _divergences(outcomes: Outcomes, roles: Mapping[str, str]) -> dict[str, NDArray[np.float64]]:
    """KL of rows from fp32, by photo, of those whose files answer with probabilities.

    Args:
        outcomes: of the build.
        roles: what each is called in the result, by its role.
    """
    task, reference = runs.read_task(outcomes["weights"].folder), read_outputs(outcomes, FLOAT)
    found = {
        name: task.divergences(reference, read_outputs(outcomes, role))
        for role, name in roles.items()
        if f"evaluate {role}" in outcomes
    }
    return {name: values for name, values in found.items() if values is not None}


def beyond_noise(
    divergences: Mapping[str, NDArray[np.float64]], finer: Collection[str] = ()
) -> dict[str, tuple[float, float]]:
    """Which files are beyond the noise of the other forms.

    Args:
        divergences: of every form of one quantization, KL from fp32 by photo. The simulation is one
            that others are compared with, and no file.
        finer: forms that are rounded in fewer places, with which no other is compared.

    Returns:
        By form its mean KL, and the median of the others' means.
    """
    found = {}
    for role, own in divergences.items():
        others = [values for name, values in divergences.items() if name not in {role, *finer}]
        if role == SIMULATION or not others:
            continue
        typical = float(np.median([values.mean() for values in others]))
        if _exceeds(own, np.mean(others, axis=0), max(RATIO * typical, typical + SMALLEST_EXCESS)):
            found[role] = (float(own.mean()), typical)
    return found


def find_inversions(outcomes: Outcomes, quantized: str) -> list[Inversion]:
    """The schemes of a build that are worse than a coarser one.

    Args:
        outcomes: of the build.
        quantized: the scheme of the file with the role ``w8a8``.
    """
    roles = {f"{name}-tflite": name for name in FINE_TO_COARSE} | {TFLITE: quantized}
    return inversions(_divergences(outcomes, roles))


def inversions(divergences: Mapping[str, NDArray[np.float64]]) -> list[Inversion]:
    """Which schemes are worse than a coarser one, beyond the noise.

    Args:
        divergences: of the schemes of one build, KL from fp32 by photo.

    Returns:
        For each of them the coarser scheme that is nearest to fp32.
    """
    present = [scheme for scheme in FINE_TO_COARSE if scheme in divergences]
    found = []
    for place, scheme in enumerate(present):
        own = divergences[scheme]
        coarser = {name: divergences[name] for name in present[place + 1 :]}
        better = {
            name: float(other.mean())
            for name, other in coarser.items()
            if _exceeds(own, other, float(other.mean()) + SMALLEST_EXCESS)
        }
        if better:
            best = min(better, key=better.__getitem__)
            kl = float(own.mean())
            found.append(Inversion(scheme=scheme, kl=kl, coarser=best, coarser_kl=better[best]))
    return found


def _exceeds(own: NDArray[np.float64], others: NDArray[np.float64], least: float) -> bool:
    """Whether divergences are above ``least`` on the mean, and above others beyond the noise.

    Args:
        own: KL by photo.
        others: what it is compared with, on the same photos.
        least: what its mean must be above.
    """
    excess = own - others
    error = float(excess.std(ddof=1) / np.sqrt(len(excess))) if len(excess) > 1 else np.inf
    # Answers that are not finite have no KL: they are beyond any noise.
    if not np.isfinite(own.mean()):
        return True
    return bool(own.mean() > least and excess.mean() > DEVIATIONS * error)


def _find_departure(path: Path, graph: Graph, photos: NDArray[np.uint8]) -> Departure | None:
    from edgekit.parity.departures import find_departure

    try:
        return find_departure(path, graph, photos)
    except Exception:  # a runtime's own, too: a report that lacks an operator is better than none
        return None
