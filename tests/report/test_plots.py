"""Plots put marks where the values are."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from edgekit.report import Document
from edgekit.report.plots import WIDTH, accuracy_plot, line_chart, ticks
from edgekit.tasks.classification.task import TASK


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (90.93, 94.7, [90, 91, 92, 93, 94, 95]),
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.412, 1.03, [0.4, 0.6, 0.8, 1.0, 1.2]),
        (99.97, 100.0, [99.97, 99.98, 99.99, 100.0]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.5, 100.0, -3.0])
def test_ticks_of_one_value(value: float) -> None:
    values = ticks(value, value)
    assert values[0] <= value <= values[-1]
    assert 2 <= len(values) <= 12


def parts(svg: str, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(tag))  # noqa: S314 - our own output


def test_accuracy_plot(document: Document) -> None:
    svg = accuracy_plot(document["rows"], TASK.metric)
    dots = [float(dot.attrib["cx"]) for dot in parts(svg, "circle")]
    assert dots[0] == dots[1] > dots[2] > dots[3]
    grid = {
        float(text.text or ""): float(text.attrib["x"])
        for text in parts(svg, "text")
        if text.attrib["class"] == "tick"
    }
    assert grid[93] < dots[0] < grid[94]
    assert parts(svg, "title")[0].text == "Top-1 accuracy per stage with 95 % intervals"
    assert "w8a8-tflite 92.80 % (90.93 to 94.43 %)" in (parts(svg, "desc")[0].text or "")
    for x in [*dots, *grid.values()]:
        assert 0 <= x <= WIDTH


def test_accuracy_at_the_ends(document: Document) -> None:
    rows = document["rows"][:2]
    rows[0].update(top1=1.0, top1_ci95=[0.9948, 1.0])
    rows[1].update(top1=0.0, top1_ci95=[0.0, 0.0052])
    values = [
        float(x) for x in re.findall(r'class="tick"[^>]*>([^<]+)', accuracy_plot(rows, TASK.metric))
    ]
    assert (min(values), max(values)) == (0, 100)


def test_line_chart_skips_what_is_missing() -> None:
    svg = line_chart("Loss", "", [1, 2, 3, 4], [2.0, math.nan, None, 1.0])
    (line,) = parts(svg, "polyline")
    (x1, y1), (x2, y2) = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    assert x1 < x2
    assert y1 < y2  # downwards on the page
    assert line_chart("Loss", "", [1, 2], [None, math.inf]) == ""


def test_long_curves_stay_small() -> None:
    svg = line_chart("Loss", "", range(1, 1001), [1 / (i + 1) for i in range(1000)])
    assert not parts(svg, "circle")
    assert len(parts(svg, "text")) < 24


def test_a_long_name_has_room(document):
    document["rows"][-1]["stage"] = "w8a8-mixed-tflite"
    page = str(accuracy_plot(document["rows"], TASK.metric))
    at = float(re.search(r'class="name" x="([0-9.]+)"', page)[1])
    assert at >= 7 * len("w8a8-mixed-tflite")


def test_a_stepped_line_holds_a_value_until_the_next() -> None:
    svg = line_chart("Image size", "px", [1, 2, 3], [128, 128, 224], stepped=True)
    (line,) = parts(svg, "polyline")
    corners = [tuple(map(float, corner.split(","))) for corner in line.attrib["points"].split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in parts(svg, "circle")]
    assert corners[0] == dots[0]
    assert corners[-1] == dots[-1]
    assert (dots[2][0], dots[1][1]) in corners  # the step is at the epoch that brought it
