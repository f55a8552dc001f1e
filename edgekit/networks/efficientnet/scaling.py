"""Compound scaling: other sizes of a variant, and the paper's search for how to scale it.

Source: EfficientNet (Tan and Le 2019, arXiv 1905.11946), equation 3 and section 3.3.
Not even numpy is imported before a search: the options of the command line need `scale_spec`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.efficientnet.stages import StageSpec

if TYPE_CHECKING:
    from edgekit.networks.cost import Cost

#: The paper's coefficients of depth, width and resolution, found for B0 (section 3.3, step 1).
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15

#: What is accepted: beyond these nobody trains a network, and a slip of the keyboard is likelier.
PHI_LIMIT = 10.0
COEFFICIENT_LIMIT = 4.0
MULTIPLIERS = (0.1, 10.0)  # of width and depth, given or reached
RESOLUTIONS = (32, 2048)  # px; the family halves its input five times
STEPS = (0.02, 0.5)  # of the grid: a finer one takes minutes

#: A scaled resolution is a multiple of this. The first three halvings then come out even, so that
#: no map is padded on one side only, and channels, too, are multiples of 8.
RESOLUTION_DIVISOR = 8

#: The search looks for phi among the multiples of 1 / PHI_PARTS, which print exactly.
PHI_PARTS = 1000

_Structure = tuple[int, int, int, int, tuple[StageSpec, ...]]


@dataclass(frozen=True)
class Candidate:
    """One way of scaling a variant to a budget.

    Attributes:
        name: of the scaled spec.
        alpha: base of the depth multiplier.
        beta: base of the width multiplier.
        gamma: base of the resolution multiplier.
        phi: exponent of all three; negative for a network smaller than its base.
        width: width coefficient of the scaled spec.
        depth: depth coefficient of the scaled spec.
        resolution: side of the square input in pixels.
        macs: multiply-accumulates of one inference, counted on the network itself.
        parameters: trainable parameters.
        peak_activation: elements of the tensors alive at once, at the worst node.
        paper: whether alpha, beta and gamma are the paper's own.
    """

    name: str
    alpha: float
    beta: float
    gamma: float
    phi: float
    width: float
    depth: float
    resolution: int
    macs: int
    parameters: int
    peak_activation: int
    paper: bool


def scale_spec(
    spec: ModelSpec,
    *,
    phi: float | None = None,
    width: float | None = None,
    depth: float | None = None,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
) -> ModelSpec:
    """Scales a variant, by the paper's compound rule or by multipliers of its width and depth.

    Everything multiplies what the variant has: ``width=0.5`` makes B3 half as wide as B3, and 1
    leaves it alone. The family's own rounding of channels and repeats follows. All else stays:
    dropout, which the paper raises from 0.2 (B0) to 0.5 (B7), and the share of the centre crop.

    Args:
        spec: the variant.
        phi: depth grows by ``alpha ** phi``, width by ``beta ** phi``, resolution by
            ``gamma ** phi`` (equation 3); a negative one shrinks. The resolution is rounded to the
            nearest multiple of 8 and is at least 32; with ``gamma`` 1 it stays what it is.
        width: multiplier of the channel counts; not together with ``phi``.
        depth: multiplier of the repeat counts; not together with ``phi``.
        alpha: base of the depth multiplier.
        beta: base of the width multiplier.
        gamma: base of the resolution multiplier.

    Returns:
        A spec whose name says how it was scaled, such as ``b0-phi0.5`` or ``b0-w0.5-d0.8``, fit
        for a file name; ``spec`` itself where nothing changes.

    Raises:
        UsageError: the arguments contradict each other, or one is out of range.
    """
    if phi is None:
        if (alpha, beta, gamma) != (ALPHA, BETA, GAMMA):
            raise UsageError(
                "alpha, beta and gamma do nothing without phi", hint="give phi as well"
            )
        by_depth = 1.0 if depth is None else _checked("depth", depth, *MULTIPLIERS)
        by_width = 1.0 if width is None else _checked("width", width, *MULTIPLIERS)
        by_resolution = 1.0
        suffixes: dict[str, float | None] = {"w": width, "d": depth}
    else:
        if width is not None or depth is not None:
            raise UsageError(
                "phi already sets width and depth", hint="either phi, or width and depth"
            )
        _checked("phi", phi, -PHI_LIMIT, PHI_LIMIT)
        by_depth = _checked("alpha", alpha, 1, COEFFICIENT_LIMIT) ** phi
        by_width = _checked("beta", beta, 1, COEFFICIENT_LIMIT) ** phi
        by_resolution = _checked("gamma", gamma, 1, COEFFICIENT_LIMIT) ** phi
        suffixes = {"phi": phi}
        if (alpha, beta, gamma) != (ALPHA, BETA, GAMMA):
            suffixes |= {"a": alpha, "b": beta, "g": gamma}
    # Ten digits, so that 1.1 * 3 does not round a repeat count up because of its 16th.
    scaled = replace(
        spec,
        width=round(spec.width * by_width, 10),
        depth=round(spec.depth * by_depth, 10),
        resolution=_round_resolution(spec.resolution, by_resolution),
    )
    if scaled == spec:
        return spec
    _checked("the scaled width coefficient", scaled.width, *MULTIPLIERS)
    _checked("the scaled depth coefficient", scaled.depth, *MULTIPLIERS)
    _checked("the scaled resolution", scaled.resolution, *RESOLUTIONS)
    words = [f"{key}{_text(value)}" for key, value in suffixes.items() if value is not None]
    return replace(scaled, name="-".join([spec.name, *words]))


def search(
    base: ModelSpec,
    budget_macs: int,
    *,
    step: float = 0.05,
    tolerance: float = 0.1,
    classes: int | None = None,
) -> list[Candidate]:
    """Lists the ways of scaling a variant to a budget: the paper's small grid search.

    Section 3.3, step 1: alpha, beta and gamma of at least 1 with ``alpha * beta**2 * gamma**2``
    near 2, so that the cost doubles with each phi. For each of them phi is solved so that the
    network built costs the budget, as nearly as whole channels, blocks and pixels allow. What this
    cannot say is which is the most accurate: the paper trains every candidate to find out.

    Args:
        base: the variant to scale.
        budget_macs: multiply-accumulates of one inference.
        step: of the grid.
        tolerance: how far the product may be from 2.
        classes: number of logits; `ModelSpec.usual_classes` by default.

    Returns:
        Candidates, the nearest to the budget first; each network once, the paper's own
        coefficients always among them if they can meet the budget.

    Raises:
        UsageError: an argument is out of range, or nothing meets the budget.
    """
    _checked("the step of the grid", step, *STEPS)
    _checked("the tolerance", tolerance, 0.0, 0.5)
    if budget_macs < 1:
        raise UsageError(f"the budget must be at least 1 multiply-accumulate, not {budget_macs}")
    ruler = _Ruler(base, classes)
    found: dict[_Structure, Candidate] = {}
    for coefficients in ((ALPHA, BETA, GAMMA), *_grid(step, tolerance)):
        phi = _meet(ruler, budget_macs, coefficients)
        if phi is None:
            continue
        alpha, beta, gamma = coefficients
        spec = scale_spec(base, phi=phi, alpha=alpha, beta=beta, gamma=gamma)
        measured = ruler.cost(spec)
        candidate = Candidate(
            spec.name,
            *coefficients,
            phi=phi,
            width=spec.width,
            depth=spec.depth,
            resolution=spec.resolution,
            macs=measured.macs,
            parameters=measured.parameters,
            peak_activation=measured.peak_activation,
            paper=coefficients == (ALPHA, BETA, GAMMA),
        )
        found.setdefault(_structure(spec), candidate)  # the paper's own comes first, and stays
    if not found:
        raise UsageError(
            f"{base.name} cannot be scaled to {budget_macs:,} multiply-accumulates",
            cause=f"it has {ruler.cost(base).macs:,} itself, and the budget is too far from that",
            hint="a budget and a model nearer to each other",
        )
    return sorted(found.values(), key=lambda c: (abs(c.macs - budget_macs), c.macs, c.parameters))


class _Ruler:
    """Measures scaled specs, each network once: many coefficients round to the same one."""

    def __init__(self, base: ModelSpec, classes: int | None) -> None:
        self.base = base
        self.classes = classes
        self._measured: dict[_Structure, Cost] = {}

    def cost(self, spec: ModelSpec) -> Cost:
        from edgekit.networks.cost import cost
        from edgekit.networks.efficientnet.architecture import build_graph

        key = _structure(spec)
        if key not in self._measured:
            self._measured[key] = cost(build_graph(spec, classes=self.classes, seed=None))
        return self._measured[key]


def _structure(spec: ModelSpec) -> _Structure:
    """What tells the networks of one base apart."""
    ends = spec.stem_filters, spec.head_filters, spec.hidden_filters
    return spec.resolution, *ends, spec.scaled_stages()


def _grid(step: float, tolerance: float) -> Iterator[tuple[float, float, float]]:
    """The coefficients whose phi doubles the cost: depth costs once, width and pixels squared."""
    last = int((2 + tolerance - 1) / step)
    # Four digits, so that the command which builds a candidate can say them exactly.
    values = [round(1 + index * step, 4) for index in range(last + 1)]
    for alpha, beta, gamma in product(values, repeat=3):
        if abs(alpha * beta**2 * gamma**2 - 2) <= tolerance + 1e-9:
            yield alpha, beta, gamma


def _meet(ruler: _Ruler, budget: int, coefficients: tuple[float, float, float]) -> float | None:
    """The phi whose network costs the budget as nearly as possible; None if none comes near.

    The cost never falls as phi grows, and it jumps: the search ends on both sides of the jump.
    """
    alpha, beta, gamma = coefficients

    def scaled(part: int) -> ModelSpec:
        return scale_spec(ruler.base, phi=part / PHI_PARTS, alpha=alpha, beta=beta, gamma=gamma)

    def macs(part: int) -> float:
        try:
            return ruler.cost(scaled(part)).macs
        except UsageError:  # out of range
            return math.inf if part > 0 else -math.inf

    growth = alpha * beta**2 * gamma**2
    start = math.log(budget / ruler.cost(ruler.base).macs) / math.log(growth)
    low, high = _bracket(macs, budget, round(start * PHI_PARTS))
    nearest = min((low, high), key=lambda part: abs(macs(part) - budget))
    if not (math.isfinite(macs(low)) and math.isfinite(macs(high))):
        return None
    structure = _structure(scaled(nearest))
    for digits in (1, 2):  # the shortest phi that gives this network
        short = round(round(nearest / PHI_PARTS, digits) * PHI_PARTS)
        with suppress(UsageError):  # one that is rounded may be out of range
            if _structure(scaled(short)) == structure:
                return short / PHI_PARTS
    return nearest / PHI_PARTS


def _bracket(macs: Callable[[int], float], budget: int, start: int) -> tuple[int, int]:
    """Neighbouring integers with the budget between their costs, looked for around ``start``."""
    limit = int(PHI_LIMIT * PHI_PARTS) + 1  # out of range, whatever the coefficients
    low = high = max(-limit, min(limit, start))
    stride = 50
    while macs(low) > budget:
        low, stride = max(-limit, low - stride), 2 * stride
    while macs(high) <= budget:
        high, stride = min(limit, high + stride), 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if macs(middle) > budget else (middle, high)
    return low, high


def _round_resolution(resolution: int, multiplier: float) -> int:
    if multiplier == 1:
        return resolution
    nearest = math.floor(resolution * multiplier / RESOLUTION_DIVISOR + 0.5)
    return max(RESOLUTIONS[0], nearest * RESOLUTION_DIVISOR)


def _checked(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:  # holds for NaN, too
        raise UsageError(f"{name} must be from {low:g} to {high:g}, not {value:g}")
    return value


def _text(value: float) -> str:
    """The shortest text that tells a number from every other: 0.5, 2, -0.95."""
    return repr(float(value)).removesuffix(".0")
