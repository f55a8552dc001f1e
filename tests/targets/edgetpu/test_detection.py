"""What the prediction says of detectors, against real logs of the compiler."""

from __future__ import annotations

from collections import Counter

import pytest
from places import SHARED
from prerequisites import needs

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.detections import POST_PROCESS
from edgekit.targets.edgetpu import status
from edgekit.targets.edgetpu.log import parse_output
from edgekit.targets.edgetpu.mapping import check_and_predict

LOGS = SHARED / "edgetpu/logs"
#: EfficientDet-Lite0 as Google's own exporter writes it.
LITE0 = SHARED / "oracle/detection/google_lite0_320_c5_nms_int8.tflite"
#: The compiler's name for custom operators of all kinds.
CUSTOM = "CUSTOM"


def rows_of(found):
    """The prediction as rows of the compiler's log."""
    names = [(CUSTOM if op.name == POST_PROCESS else op.name, op.status) for op in found.operators]
    return Counter(names)


@needs("shared", LITE0.exists())
@pytest.mark.parametrize("name", ["efficientdet_lite0_helmet", "safety_vision_model"])
def test_the_prediction_for_googles_lite0_is_its_real_log(name):
    log = parse_output((LOGS / f"{name}.log").read_text())
    _, found = check_and_predict(tflite_file.read(LITE0))
    assert rows_of(found) == {(row.name, row.status): row.count for row in log.rows}
    assert (found.mapped, found.on_cpu) == (log.mapped, log.on_cpu) == (264, 3)
    assert not found.refused
    assert not found.not_seen


@needs("shared", LITE0.exists())
def test_what_is_left_to_the_cpu_is_right_there_and_nothing_else_is_advised():
    findings, found = check_and_predict(tflite_file.read(LITE0))
    left = [op for op in found.operators if not op.is_mapped]
    assert [op.name for op in left] == ["DEQUANTIZE", "DEQUANTIZE", POST_PROCESS]
    assert {op.status for op in left} == {status.DATA_TYPE}
    assert all("leave it on the CPU" in op.fix for op in left)
    assert {finding.severity for finding in findings} == {"warning"}
