"""What the prediction says of detectors, against real logs of the compiler."""

from __future__ import annotations

from collections import Counter

import pytest
from detector_files import contents
from places import SHARED
from prerequisites import needs

from edgekit.calibration.quantize import fixed_ranges, quantize
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.detections import POST_PROCESS
from edgekit.converters.tflite.write import convert
from edgekit.networks.detection.outputs import with_end
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.nodes import activation_of
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import scale_owners
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


def test_a_detector_of_ours_is_mapped_up_to_what_finds_the_boxes():
    findings, found = check_and_predict(tflite_file.parse(contents()))
    left = [(op.index, op.name) for op in found.operators if not op.is_mapped]
    last = len(found.operators) - 1
    assert [name for _, name in left] == ["DEQUANTIZE", "DEQUANTIZE", POST_PROCESS]
    assert left[-1][0] == last
    assert {finding.severity for finding in findings} == {"warning"}
    _, raw = check_and_predict(tflite_file.parse(contents("raw")))
    assert raw.on_cpu == 0


@pytest.mark.slow
@needs("shared", LITE0.exists())
def test_our_lite0_has_the_operators_of_the_real_log():
    """All of them, as many of each: nothing is rounded again, and nothing is padded."""
    spec = find_spec("det-lite0")
    graph = prepare(build_graph(spec, classes=5, seed=0))
    graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
    ranges = {
        node.name: (0.0, 6.0) if activation_of(node) == "relu6" else (-6.0, 6.0)
        for node in graph.nodes
        if node.name not in scale_owners(graph)
    }
    quantized = quantize(graph, ranges | fixed_ranges(graph, mean, std))
    written = convert(with_end(quantized, "detections"), io="uint8")
    log = parse_output((LOGS / "efficientdet_lite0_helmet.log").read_text())
    _, found = check_and_predict(tflite_file.parse(written))
    assert rows_of(found) == {(row.name, row.status): row.count for row in log.rows}
