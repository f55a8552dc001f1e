from __future__ import annotations

from vela_outputs import text

from edgekit.targets.ethosu.log import parse_log


def test_reasons_are_found_by_operator_and_output():
    log = parse_log(text("partly.log"))
    assert log.reasons["DEQUANTIZE", "scores"] == "Unsupported opType"
    reason = log.reasons["QUANTIZE", "pixels"]
    assert reason.startswith("Operation has tensor with unsupported DataType Float32 (image); ")
    assert len(log.reasons) == 2


def test_velas_own_operators_and_the_memory_are_read():
    log = parse_log(text("partly.log"))
    assert (log.network, log.mapped, log.on_cpu) == ("partly", 9, 2)
    assert log.operators[0] == ("CPU", "Passthrough", "pixels")
    assert sum(processor == "NPU" for processor, _, _ in log.operators) == 9
    assert log.memory == {"SRAM": 963, "flash": 1167}  # of two decimals
    assert log.failure is None


def test_a_failure_and_a_warning_of_the_request_are_read():
    log = parse_log(
        "Warning: No memory mode specified. Using a default of Shared_Sram.\n"
        "Traceback (most recent call last):\n"
        "RuntimeError: Compilation failed: No networks defined via GraphAPI\n"
    )
    assert log.notes == ("No memory mode specified. Using a default of Shared_Sram.",)
    assert log.failure == "Compilation failed: No networks defined via GraphAPI"


def test_another_text_holds_nothing():
    log = parse_log("Edge TPU Compiler version 16.0\n\nReason: none\n")
    assert (log.network, log.mapped, log.operators, log.reasons) == (None, None, (), {})
