from __future__ import annotations

from tiny_tflite import TinyModel
from vela_outputs import recorded

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.ethosu.mapping import UNEXPLAINED, map_operators, why_refused


def test_a_whole_network_is_on_the_npu(tmp_path):
    _, found = recorded("whole", tmp_path)
    assert (found.mapped, found.on_cpu, found.share_of_operators) == (8, 0, 1.0)
    assert found.refused == ()
    assert found.findings() == []
    assert found.obstacle == (None, None)
    assert "on the NPU   8 of 8 operators (100.0 %), 0 on the CPU" in found.lines(every=False)


def test_what_stays_on_the_cpu_has_velas_reason_and_a_remedy(tmp_path):
    _, found = recorded("partly", tmp_path)
    left = {op.name: op for op in found.operators if not op.is_mapped}
    assert left.keys() == {"QUANTIZE", "DEQUANTIZE"}
    assert left["DEQUANTIZE"].reason == "Unsupported opType"
    assert "--io uint8" in left["QUANTIZE"].fix
    cause, fix = found.obstacle
    assert cause.startswith("0 QUANTIZE: Operation has tensor with unsupported DataType Float32")
    assert fix == left["QUANTIZE"].fix
    assert [f.where for f in found.findings()] == ["0 QUANTIZE", "7 DEQUANTIZE"]
    shown = found.lines(every=True)
    assert any(line.startswith("7     DEQUANTIZE                CPU  scores") for line in shown)


def test_the_figures_say_whose_they_are(tmp_path):
    _, found = recorded("partly", tmp_path)
    assert found.chip.latency_by == "Vela's estimate for ethos-u55-128"
    assert found.chip.memory == {"SRAM": 960, "flash": 1168}
    assert (found.chip.mapped, found.chip.on_cpu) == (6, 2)
    document = found.to_dict()
    assert document["vela_operators_on_npu"] == 9
    assert document["operators_on_npu"] == 6
    assert document["summary"]["nn_macs"] > 0
    assert str(found).startswith("6 of 8 operators on the NPU, SRAM 1 KiB, flash 1 KiB, ")


def test_where_nothing_was_compiled_all_is_on_the_cpu_and_alike_is_listed_once():
    model = tflite_file.parse(TinyModel().pack())
    operators = map_operators(model, model, {("CONV_2D", "stem"): "Unsupported opType"})
    assert [op.processor for op in operators] == ["CPU"] * 8
    reasons = {op.name: op.reason for op in operators}
    assert reasons["CONV_2D"] == "Unsupported opType"
    assert reasons["MEAN"] == UNEXPLAINED
    assert why_refused(operators) == (f"no operator of it runs on the NPU: {operators[0].reason}",)
