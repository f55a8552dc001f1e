"""What the prediction says of a network with several outputs of rows, as a detector has them."""

from __future__ import annotations

import pytest
from detector_graph import int8
from places import SHARED
from prerequisites import needs

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.write import convert
from edgekit.targets.edgetpu import status
from edgekit.targets.edgetpu.log import parse_output
from edgekit.targets.edgetpu.mapping import check_and_predict

LOG = SHARED / "edgetpu/logs/efficientdet_lite0_helmet.log"


@pytest.mark.parametrize("fusion", ["sum", "weighted"])
def test_every_operator_is_mapped_and_was_seen_so(fusion):
    model = tflite_file.parse(convert(int8(fusion=fusion), io="uint8"))
    findings, found = check_and_predict(model)
    assert (found.on_cpu, found.not_seen, findings) == (0, [], [])
    assert found.subgraphs == 1


def test_float_ends_alone_stay_on_the_cpu():
    model = tflite_file.parse(convert(int8(), io="float32"))
    rest = [op for op in check_and_predict(model)[1].operators if not op.is_mapped]
    # The first is the input's.
    assert [op.name for op in rest] == ["QUANTIZE", "DEQUANTIZE", "DEQUANTIZE"]
    assert {op.status for op in rest[1:]} == {status.DATA_TYPE}


@needs("shared", LOG.is_file())
def test_a_real_log_shows_every_operator_of_ours():
    shown = {row.name for row in parse_output(LOG.read_text()).rows if row.is_mapped}
    model = tflite_file.parse(convert(int8(), io="uint8"))
    assert {op.name for op in model.operators} <= shown
    fused = [op for op in model.operators if op.name == "ADD" and op.fused_activation == "RELU6"]
    assert fused
