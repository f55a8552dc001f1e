"""Drawings of a search: accuracy against cost, what choices are worth, and networks as blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgekit.networks.efficientnet.stages import StageSpec
from edgekit.system.text import percent

if TYPE_CHECKING:
    from markupsafe import Markup

#: Choices of which the worth is drawn.
MOST_CHOICES = 12


def draw_front(
    points: Sequence[tuple[str, float, float]],
    compared: Sequence[tuple[str, float, float]],
    front: Sequence[str],
    base: str | None,
    target: float,
    unit: str,
    beside: Sequence[tuple[str, float, float]] = (),
) -> Markup:
    """Accuracy against cost, of all networks and of those that are compared.

    Args:
        points: name, accuracy (a fraction) and cost of every network, trained for a short time.
        compared: the same of those among which the best is.
        front: names of those that none beats, by cost.
        base: name of the base, where it is compared.
        target: the cost that is wanted.
        unit: of the cost.
        beside: the same of networks of others.
    """
    from markupsafe import Markup, escape

    from edgekit.report.plots import WIDTH, Scale, svg, ticks

    shown = [*points, *compared, *beside]
    if len(shown) < 2:
        return Markup("")
    left, right, top, bottom = 52, WIDTH - 30, 24, 260
    divisor, word = _unit(max(target, max(cost for _, _, cost in shown)))
    costs = ticks(0.0, max(target, max(cost for _, _, cost in shown)) / divisor)
    levels = ticks(
        100 * min(accuracy for _, accuracy, _ in shown),
        100 * max(accuracy for _, accuracy, _ in shown),
    )
    x, y = Scale(costs[0], costs[-1], left, right), Scale(levels[0], levels[-1], bottom, top)
    marks = [
        f'<path class="grid" d="M{left} {y(level)}H{right}"/>'
        f'<text class="tick level" x="{left - 8}" y="{y(level) + 4}">{level:g}</text>'
        for level in levels
    ]
    marks += [f'<text class="tick" x="{x(c)}" y="{bottom + 18}">{c:g}</text>' for c in costs]
    marks.append(f'<path class="reference" d="M{x(target / divisor)} {top}V{bottom}"/>')
    marks.append('<g class="fp32">')
    marks += [
        f'<circle cx="{x(cost / divisor)}" cy="{y(100 * accuracy)}" r="2"/>'
        for _, accuracy, cost in points
    ]
    marks.append("</g>")
    places = {name: (x(cost / divisor), y(100 * accuracy)) for name, accuracy, cost in compared}
    line = " ".join(f"{a},{b}" for a, b in (places[name] for name in front))
    marks.append(f'<g class="quantized"><polyline points="{line}"/>')
    marks += [f'<circle cx="{a}" cy="{b}" r="4"/>' for a, b in places.values()]
    marks.append("</g>")
    others = {name: (x(cost / divisor), y(100 * accuracy)) for name, accuracy, cost in beside}
    marks += [
        f'<path class="fp32 thick" d="M{a - 4} {b}h8M{a} {b - 4}v8"/>' for a, b in others.values()
    ]
    places |= others
    for name in dict.fromkeys([*front, *([base] if base else []), *others]):
        a, b = places[name]
        marks.append(f'<text class="tick" x="{a}" y="{b - 8}">{escape(name)}</text>')
    marks.append(
        f'<text class="tick" x="{(left + right) / 2}" y="{bottom + 36}">'
        f"{escape(unit)}{', ' + word if word else ''}</text>"
    )
    spoken = "; ".join(
        f"{name} {percent(accuracy)} % at {cost:,.0f}"
        for name, accuracy, cost in compared
        if name in front
    )
    return svg(f"Accuracy in percent against {unit}", spoken, bottom + 44, marks)


def draw_importance(importance: Mapping[str, float]) -> Markup:
    """Bars of how much of the reward's differences each choice explains, the largest first."""
    from markupsafe import Markup, escape

    from edgekit.report.plots import WIDTH, Scale, svg, ticks, vertical

    rows = sorted(importance.items(), key=lambda row: -row[1])[:MOST_CHOICES]
    if not rows or not rows[0][1]:
        return Markup("")
    left, right, pitch, top = 130, WIDTH - 10, 18, 8
    bottom = top + pitch * len(rows)
    values = [value for value in ticks(0.0, 100 * rows[0][1], 4) if value >= 0]
    x = Scale(0.0, values[-1], left, right)
    marks = [vertical(x(value), top, bottom, f"{value:g}", "grid") for value in values]
    for place, (name, share) in enumerate(rows):
        at, words = top + pitch * (place + 0.5), escape(name.replace("_", " "))
        marks.append(
            f'<text class="name" x="{left - 8}" y="{at + 4}">{words}</text>'
            f'<g class="quantized"><path class="thick" d="M{left} {at}H{x(100 * share)}"/></g>'
        )
    spoken = "; ".join(f"{name} {100 * share:.0f} %" for name, share in rows[:5])
    return svg("What each choice explains of the reward, in percent", spoken, bottom + 22, marks)


def draw_network(stages: Sequence[str]) -> Markup:
    """A network's blocks in a row: as high as they have channels, filled where they are fused."""
    from edgekit.report.plots import WIDTH, svg

    parsed = [StageSpec.parse(text) for text in stages]
    blocks = sum(stage.repeats for stage in parsed)
    most = max(stage.out_filters for stage in parsed)
    pitch, top, bottom = WIDTH / (blocks + 0.6 * len(parsed)), 18, 92
    marks, at = [], 0.0
    for stage in parsed:
        height = 10 + (bottom - top - 10) * stage.out_filters / most
        start = at
        for _ in range(stage.repeats):
            solid = 0.9 if stage.fused else 0.25
            marks.append(
                f'<g class="quantized"><rect x="{at:.1f}" y="{bottom - height:.1f}" '
                f'width="{0.8 * pitch:.1f}" height="{height:.1f}" rx="2" '
                f'fill-opacity="{solid}"/></g>'
            )
            at += pitch
        middle = (start + at - 0.2 * pitch) / 2
        words = [f"k{stage.kernel}", f"e{stage.expand:g}", *["se"] * bool(stage.se_ratio)]
        marks += [
            f'<text class="tick" x="{middle:.1f}" y="{bottom + 14 * line}">{word}</text>'
            for line, word in enumerate(words, 1)
        ]
        marks.append(
            f'<text class="tick" x="{middle:.1f}" y="{bottom - height - 5:.1f}">'
            f"{stage.out_filters}</text>"
        )
        at += 0.6 * pitch
    spoken = "; ".join(stages)
    return svg("Blocks: channels above, kernel and expansion below", spoken, bottom + 48, marks)


def _unit(largest: float) -> tuple[float, str]:
    """A power of 1000 in which a number is short, and its word."""
    for divisor, word in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if largest >= divisor:
            return divisor, word
    return 1.0, ""
