from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.converters.findings import ERROR, Finding
from edgekit.errors import CompileError, UsageError
from edgekit.targets.base import Examination, NothingMappedError
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.executions import ChipFigures
from edgekit.targets.npus.compiled import check_request, make_compiled
from edgekit.targets.npus.mapping import NPUMapping, Operator


def examined(path: str, *findings: Finding) -> Examination:
    return Examination(Path(path), None, findings)


def test_two_files_of_one_name_are_refused():
    with pytest.raises(UsageError, match="two files are called m"):
        check_request("a chip", [examined("a/m.onnx"), examined("b/m.onnx")], None, False)


def test_another_host_is_refused():
    check_request("a chip", [examined("m.onnx")], LocalHost(), False)
    with pytest.raises(UsageError, match="on this machine only"):
        check_request("a chip", [examined("m.onnx")], object(), False)


def test_a_broken_rule_is_refused_unless_forced():
    broken = examined("m.onnx", Finding(ERROR, "rule", "input", "it is wrong", "mend it"))
    check_request("a chip", [broken], None, True)
    with pytest.raises(CompileError, match="cannot be compiled for a chip") as caught:
        check_request("a chip", [broken], None, False)
    assert (caught.value.cause, caught.value.hint) == ("input: it is wrong", "mend it")


def test_a_model_that_stays_on_the_cpu_is_not_compiled(tmp_path):
    mapping = NPUMapping("a compiler", (), (Operator("Gemm", "logits"),))
    with pytest.raises(NothingMappedError, match="stays on the CPU"):
        make_compiled(Path("m.onnx"), [], tmp_path / "log", mapping, {}, ChipFigures())
