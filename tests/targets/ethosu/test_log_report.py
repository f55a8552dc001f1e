from __future__ import annotations

from vela_outputs import text

from edgekit.cli import run
from edgekit.targets.ethosu.log_report import log_reader


def test_a_log_is_a_table_of_operators_and_reasons():
    reader = log_reader()
    (model,) = reader.read(text("partly.log"))
    assert (model["mapped"], model["on_cpu"], model["failure"]) == (9, 2, None)
    shown = reader.lines(model)
    assert "mapped       9 of Vela's operators on the NPU, 2 on the CPU" in shown
    assert "     1  DEQUANTIZE on the CPU: Unsupported opType" in shown
    assert "DepthwiseConv2D                2       NPU" in shown


def test_a_text_that_ends_too_soon_is_said_to():
    reader = log_reader()
    (model,) = reader.read(text("partly.log")[:300])
    assert model["mapped"] is None
    assert reader.lines(model)[-1].startswith("cut off")


def test_a_failure_is_shown():
    reader = log_reader()
    (model,) = reader.read("RuntimeError: Compilation failed: No networks defined via GraphAPI\n")
    assert model["failure"]["cause"].startswith("Compilation failed")
    assert "failed       Compilation failed: No networks" in "\n".join(reader.lines(model))


def test_another_text_is_not_velas():
    assert log_reader().read("Edge TPU Compiler version 16.0.384591198\n") == []


def test_edgekit_report_reads_it(tmp_path, capsys):
    path = tmp_path / "partly_vela.log"
    path.write_text(text("partly.log"))
    assert run(["report", str(path)]) == 0
    assert "network      partly" in capsys.readouterr().out
