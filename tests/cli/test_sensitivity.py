"""The command reads a finished build and writes what it found beside it."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from edgekit.calibration.sensitivity import Cost
from edgekit.cli import run
from edgekit.cli.sensitivity import _lines, make_document
from edgekit.networks.graph import Graph
from edgekit.report.plots import cost_plot, standalone

COSTS = [
    Cost("block6h_swish", "activation", "Mul", "block6h", 17.8, 0.002, 0.0024),
    Cost("block1a_project/kernel", "weight", "Conv2D", "block1a_project", 35.9, 0.0004),
]


def test_the_document_is_whole():
    graph = Graph(name="b0", input="image", nodes=(), shapes={}, weights={})
    document = make_document(graph, [np.zeros((8, 4, 4, 3)), np.zeros((3, 4, 4, 3))], COSTS)
    assert (document["schema_version"], document["photos"]) == (1, 11)
    assert document["layers"][0] == {"layer": "block6h", "kl": 0.0024}
    assert json.loads(json.dumps(document)) == document
    lines = _lines(document, 1)
    assert "0.002400" in lines[1]
    assert lines[2] == "… and 1 more"
    assert "~0.000400" in _lines(document, 9)[2]


def test_the_plot_is_a_file_of_its_own():
    svg = standalone(cost_plot([("a<b", "weight", 0.5), ("c", "activation", 0.0)]))
    root = ET.fromstring(svg)  # noqa: S314 - our own output
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "a<b" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert cost_plot([]) == ""


@pytest.mark.parametrize("arguments", [["--photos", "0"], ["--limit", "-1"], ["--top", "-1"], []])
def test_what_cannot_be_measured_is_said(arguments, tmp_path, capsys):
    assert run(["sensitivity", str(tmp_path), *arguments]) == 2
    said = capsys.readouterr().err
    assert (arguments[0] if arguments else "holds no finished run") in said
