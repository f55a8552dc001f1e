"""What the OpenVINO target takes: int8 models, also with some layers in float."""

from __future__ import annotations

import pytest
from prerequisites import NEEDS
from tiny_openvino import float_graph, int8_graph, write

pytest.importorskip("openvino", reason=NEEDS["openvino"].reason)

from edgekit.calibration.mixed import keep_float
from edgekit.errors import UsageError
from edgekit.targets.openvino import OpenVINOTarget


def some_float():
    graph = int8_graph()
    return keep_float(graph, [graph.nodes[2].name])


@pytest.mark.parametrize(
    ("graph", "rules"),
    [
        (int8_graph, []),
        (some_float, [("warning", "mixed")]),
        (float_graph, [("error", "scheme")]),
    ],
)
def test_it_takes_int8_models(tmp_path, graph, rules):
    path = write(tmp_path / "m.xml", graph())
    assert [(f.severity, f.rule) for f in OpenVINOTarget().examine(path).findings] == rules
    assert OpenVINOTarget().compile(OpenVINOTarget().examine(path), tmp_path) is None


def test_it_has_no_use_for_other_files(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"TFL3")
    with pytest.raises(UsageError, match="no OpenVINO model"):
        OpenVINOTarget().examine(tmp_path / "m.tflite")


def test_what_it_is():
    target = OpenVINOTarget()
    assert (target.name, target.scheme, target.accepts_mixed) == ("openvino", "w8a8-static", True)
