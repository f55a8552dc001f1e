"""What looks wrong before a network is quantized, in sentences that name the tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgekit.calibration.histogram import Histogram
from edgekit.calibration.ranges import Choice
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import WeightedNode

#: Fewer photos than this leave ranges to chance.
FEW_PHOTOS = 10
#: Beyond this, an activation hides all others of its tensor: those of trained networks stay
#: below a few hundred.
LARGE = 1e4
#: Below this, a tensor keeps hardly two of its eight bits.
LOW_SQNR_DB = 12.0
#: Names that one sentence lists.
NAMES = 5


def check_photos(count: int, plain: int) -> list[str]:
    """Doubts about the calibration photos.

    Args:
        count: how many there are.
        plain: how many of them are of one colour throughout.
    """
    found = []
    if count < FEW_PHOTOS:
        found.append(
            f"only {count} calibration photo{'s' * (count != 1)}: the ranges may hold for no "
            "other; 100 or more are usual"
        )
    if plain:
        which = "every calibration photo is" if plain == count else f"{plain} of {count} photos are"
        found.append(f"{which} of one colour: ranges from them are too narrow for real photos")
    return found


def check_tensors(
    graph: Graph, histograms: Mapping[str, Histogram], choices: Mapping[str, Choice]
) -> list[str]:
    """Doubts about the weights and activations of a prepared network, one sentence per kind."""
    return [
        *_sentence("constant on every calibration photo", _constant(histograms)),
        *_sentence("far beyond what 8 bits hold beside small values", _large(histograms)),
        *_sentence("badly held by 8 bits, whatever the range", _noisy(choices)),
        *_sentence("dead output channels, all of whose weights are zero", _dead(graph)),
    ]


def _sentence(kind: str, tensors: Iterator[str]) -> list[str]:
    names = list(tensors)
    if not names:
        return []
    return [f"{kind}: {listed(names)}"]


def listed(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more


def _constant(histograms: Mapping[str, Histogram]) -> Iterator[str]:
    for name, histogram in histograms.items():
        if histogram.minimum == histogram.maximum:
            yield f"'{name}' ({histogram.minimum:g})"


def _large(histograms: Mapping[str, Histogram]) -> Iterator[str]:
    for name, histogram in histograms.items():
        extreme = max(histogram.minimum, histogram.maximum, key=abs)
        if abs(extreme) > LARGE:
            yield f"'{name}' reaches {extreme:.3g}"


def _noisy(choices: Mapping[str, Choice]) -> Iterator[str]:
    noisy = {
        name: choice.sqnr_db
        for name, choice in choices.items()
        if choice.sqnr_db is not None and choice.sqnr_db < LOW_SQNR_DB
    }
    for name in sorted(noisy, key=lambda name: noisy[name]):
        yield f"'{name}' ({noisy[name]:.1f} dB)"


def _dead(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            kernel = graph.weights[f"{node.name}/kernel"]
            dead = int((np.abs(kernel).reshape(-1, kernel.shape[-1]).max(0) == 0).sum())
            if dead:
                yield f"'{node.name}' ({dead} of {kernel.shape[-1]})"
