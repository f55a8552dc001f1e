"""Plots as inline SVG: small, the same bytes every time, and coloured by the page's style sheet.

Written by hand rather than by matplotlib, because marks that take their colours from CSS classes
follow the reader's light or dark scheme and the printer, and because text stays text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from edgekit.report.document import REFERENCE, Row
from edgekit.system.text import percent
from edgekit.tasks.task import Metric

WIDTH = 460  # user units; the page scales the drawing, so about one unit is one pixel
CHARACTER = 7  # about the width of one, likewise


class Scale(NamedTuple):
    """A linear map from values to positions."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers (1, 2 or 5 times a power of ten) that enclose a range."""
    if not high > low:
        margin = abs(low) * 0.05 or 0.5
        low, high = low - margin, high + margin
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [round(i * step, digits) for i in range(first, last + 1)]


def accuracy_plot(rows: Sequence[Row], metric: Metric) -> Markup:
    """The metric of each stage with its 95 % interval, and a line at the reference."""
    longest = max(len(row["stage"]) for row in rows)
    left, right, pitch, top = max(96, 16 + CHARACTER * longest), WIDTH - 56, 30, 8
    bottom = top + pitch * len(rows)
    values = ticks(
        100 * min(metric.interval(row)[0] for row in rows),
        100 * max(metric.interval(row)[1] for row in rows),
    )
    # The intervals may touch 0 or 100, beyond which there is nothing to show.
    values = [value for value in values if 0 <= value <= 100]
    x = Scale(values[0], values[-1], left, right)
    marks = [vertical(x(value), top, bottom, f"{value:g}", "grid") for value in values]
    for row in rows:
        if row["stage"] == REFERENCE:
            at = x(100 * metric.value(row))
            marks.append(f'<path class="reference" d="M{at} {top}V{bottom}"/>')
    for i, row in enumerate(rows):
        y = top + pitch * (i + 0.5)
        low, high = (x(100 * bound) for bound in metric.interval(row))
        kind = "fp32" if row["stage"].startswith("fp32") else "quantized"
        marks.append(
            f'<text class="name" x="{left - 10}" y="{y + 4}">{escape(row["stage"])}</text>'
            f'<g class="{kind}"><path d="M{low} {y}H{high}M{low} {y - 4}v8M{high} {y - 4}v8"/>'
            f'<circle cx="{x(100 * metric.value(row))}" cy="{y}" r="4"/></g>'
            f'<text class="value" x="{WIDTH}" y="{y + 4}">{percent(metric.value(row))}</text>'
        )
    spoken = "; ".join(
        f"{row['stage']} {percent(metric.value(row))} % "
        f"({' to '.join(map(percent, metric.interval(row)))} %)"
        for row in rows
    )
    title = f"{metric.title} accuracy per stage with 95 % intervals"
    return svg(title, spoken, bottom + 22, marks)


def line_chart(
    title: str,
    unit: str,
    xs: Sequence[int],
    ys: Sequence[float | None],
    *,
    stepped: bool = False,
) -> Markup:
    """One curve over epochs; values that are missing or not finite have no mark.

    Args:
        title: what the curve shows, for readers who cannot see it.
        unit: what stands behind its figures, for example ``%``.
        xs: epochs, ascending.
        ys: a value per epoch.
        stepped: whether a value holds until the next one, instead of running into it.
    """
    left, right, top, bottom = 52, WIDTH - 16, 10, 168
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None and math.isfinite(y)]
    if not points:
        return Markup("")
    levels = ticks(min(y for _, y in points), max(y for _, y in points), 4)
    across = Scale(xs[0], max(xs[-1], xs[0] + 1), left + 8, right)
    up = Scale(levels[0], levels[-1], bottom, top)
    marks = [
        f'<path class="grid" d="M{left} {up(level)}H{right}"/>'
        f'<text class="tick level" x="{left - 8}" y="{up(level) + 4}">{level:g}</text>'
        for level in levels
    ]
    stride = max(1, math.ceil(len(xs) / 12))
    marks += [
        f'<text class="tick" x="{across(x)}" y="{bottom + 18}">{x}</text>' for x in xs[::stride]
    ]
    corners = points[:1]
    for (x, y), (_, before) in zip(points[1:], points, strict=False):
        corners += [(x, before), (x, y)] if stepped else [(x, y)]
    line = " ".join(f"{across(x)},{up(y)}" for x, y in corners)
    marks.append(f'<g class="quantized"><polyline points="{line}"/>')
    if len(points) <= 60:
        marks += [f'<circle cx="{across(x)}" cy="{up(y)}" r="2.5"/>' for x, y in points]
    marks.append("</g>")
    (first, start), (last, end) = points[0], points[-1]
    spoken = f"from {start:.4g} {unit} in epoch {first} to {end:.4g} {unit} in epoch {last}"
    return svg(title, spoken, bottom + 24, marks)


def vertical(x: float, top: float, bottom: float, label: str, kind: str) -> str:
    """A vertical line with a label below it; ``kind`` is its class in the style sheet."""
    return (
        f'<path class="{kind}" d="M{x} {top}V{bottom}"/>'
        f'<text class="tick" x="{x}" y="{bottom + 16}">{label}</text>'
    )


def svg(title: str, description: str, height: float, marks: Sequence[str]) -> Markup:
    """Wraps marks that are already escaped; the title is what a screen reader says."""
    return Markup(  # noqa: S704 - every user string in marks went through escape
        f'<svg role="img" viewBox="0 0 {WIDTH} {height:g}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f"{''.join(marks)}</svg>"
    )


def cost_plot(costs: Sequence[tuple[str, str, float]]) -> Markup:
    """Bars of what quantizing each tensor alone costs.

    Args:
        costs: name, kind (``activation`` or ``weight``) and KL in nats, the costliest first.
    """
    if not costs:
        return Markup("")
    left, right, pitch, top = 190, WIDTH - 10, 18, 8
    bottom = top + pitch * len(costs)
    values = [value for value in ticks(0.0, max(value for _, _, value in costs), 4) if value >= 0]
    x = Scale(0.0, values[-1], left, right)
    marks = [vertical(x(value), top, bottom, f"{value:g}", "grid") for value in values]
    for i, (name, kind, value) in enumerate(costs):
        y = top + pitch * (i + 0.5)
        colour = "fp32" if kind == "weight" else "quantized"
        marks.append(
            f'<text class="name" x="{left - 8}" y="{y + 4}">{escape(name)}</text>'
            f'<g class="{colour}"><path class="thick" d="M{left} {y}H{x(max(value, 0.0))}"/></g>'
        )
    spoken = "; ".join(f"{name} {value:.3g} nats" for name, _, value in costs[:5])
    return svg("Cost of each tensor in 8 bits, KL in nats", spoken, bottom + 22, marks)


def standalone(svg: Markup) -> str:
    """A drawing as a file of its own, with the colours of the light page."""
    style = (
        "text{fill:#1b1f24;font:11px sans-serif}.name{text-anchor:end}"
        ".tick{text-anchor:middle;fill:#5b6470}path{fill:none;stroke-width:1.75}"
        ".thick{stroke-width:9}.grid{stroke:#dfe3e8;stroke-width:1}"
        ".fp32{stroke:#5b6470;fill:#5b6470}.quantized{stroke:#0a5cc0;fill:#0a5cc0}"
    )
    opened = svg.index(">") + 1
    head = str(svg[:opened]).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    return f"{head}<style>{style}</style>{paper}{svg[opened:]}\n"
