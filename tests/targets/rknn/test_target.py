from __future__ import annotations

import pytest
from npu_files import write

from edgekit.cli import run
from edgekit.errors import CompileError, MissingToolError
from edgekit.options.build import BuildOptions
from edgekit.targets.npus.file import NCHW
from edgekit.targets.rknn.options import CompilerOptions
from edgekit.targets.rknn.target import TOOLCHAIN, RKNNTarget


@pytest.fixture(autouse=True)
def no_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "none"))


def test_the_pinned_version_is_that_of_the_toolkit():
    assert TOOLCHAIN.pinned == "2.5.0"
    assert "torch==" not in TOOLCHAIN.requirements.read_text("utf-8")


def test_a_build_writes_one_file_and_runs_it_in_the_simulator():
    options = BuildOptions.make("lite0", targets=("rknn",))
    target = RKNNTarget(CompilerOptions(platform="rk3566"))
    (execution,) = target.executions(options)
    assert target.forms(options) == (NCHW,)
    assert (execution.row, execution.of, execution.kind) == ("w8a8-rknn", NCHW.row, "simulator")
    assert execution.reads == (("platform", "rk3566"), ("optimization", 3))


def test_without_the_compiler_the_rules_alone_speak(tmp_path):
    examined = RKNNTarget().examine(write(tmp_path, "lite0"))
    assert (examined.prediction, examined.findings) == (None, ())


def test_without_the_compiler_nothing_is_compiled(tmp_path):
    with pytest.raises(MissingToolError, match="RKNN-Toolkit2 is not installed") as caught:
        RKNNTarget().compile_files([write(tmp_path, "lite0")], tmp_path, CompilerOptions())
    assert caught.value.hint == "edgekit toolchain install rknn"


def test_a_file_that_it_would_misread_is_not_compiled(tmp_path):
    target, path = RKNNTarget(), write(tmp_path, "lite0", io="uint8")
    with pytest.raises(CompileError, match="cannot be compiled for Rockchip's NPU") as caught:
        target.compile(target.examine(path), tmp_path)
    assert "-nchw.onnx" in caught.value.hint


def test_a_gate_that_only_the_compiler_can_hold_names_its_installation(tmp_path, capsys):
    path = str(write(tmp_path, "lite0"))
    assert run(["check", path, "--target", "rknn"]) == 0
    assert run(["check", path, "--target", "rknn", "--min-mapped", "50"]) == 3
    assert "edgekit toolchain install rknn" in capsys.readouterr().err
