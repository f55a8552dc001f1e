from __future__ import annotations

import pytest
from npu_files import flatten_on_integers, write
from onnx import TensorProto, helper
from tiny_onnx import tiny

from edgekit.converters.onnx import file as onnx_file
from edgekit.errors import CompileError, MissingToolError, UsageError
from edgekit.options.build import BuildOptions
from edgekit.targets.npus.file import NCHW
from edgekit.targets.qnn.options import CompilerOptions
from edgekit.targets.qnn.target import TOOLCHAIN, QNNTarget


@pytest.fixture
def no_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "none"))


def test_the_pinned_version_is_that_of_the_provider():
    assert TOOLCHAIN.pinned == "2.7.0"


def test_a_build_writes_one_file_and_runs_it_in_the_emulation(no_tool):
    options = BuildOptions.make("lite0", targets=("qnn",))
    target = QNNTarget(CompilerOptions(soc="SM8550"))
    (execution,) = target.executions(options)
    assert target.forms(options) == (NCHW,)
    assert (execution.row, execution.of, execution.kind) == ("w8a8-htp", NCHW.row, "emulator")
    assert execution.reads == (("soc", "SM8550"),)
    assert execution.most == 100


def test_without_the_compiler_the_rules_alone_speak(no_tool, tmp_path):
    examined = QNNTarget().examine(flatten_on_integers(write(tmp_path, "lite0")))
    assert examined.prediction is None
    assert [one.rule for one in examined.findings] == ["between-pairs"]
    assert examined.refusals == ()


def test_without_the_compiler_nothing_is_compiled(no_tool, tmp_path):
    target = QNNTarget()
    with pytest.raises(MissingToolError, match="Qualcomm's compiler for Hexagon") as caught:
        target.compile(target.examine(write(tmp_path, "lite0")), tmp_path / "out")
    assert caught.value.hint == "edgekit toolchain install qnn"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_breaks_a_rule_is_not_compiled(no_tool, tmp_path):
    path = write(tmp_path, "lite0", batch=None)
    with pytest.raises(CompileError, match="cannot be compiled for Hexagon"):
        QNNTarget().compile_files([path], tmp_path, CompilerOptions())


def test_a_compiled_file_is_not_compiled_again(no_tool, tmp_path):
    context = helper.make_node("EPContext", ["x"], ["more"], domain="com.microsoft")
    model = tiny(more=[context])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.value_info.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    path = tmp_path / "m_qnn_ctx.onnx"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "m.onnx").touch()
    with pytest.raises(UsageError, match="has been compiled for Hexagon already"):
        QNNTarget().examine(path)
    assert onnx_file.read(path).scheme == "other"
    assert QNNTarget().source_of(path) == tmp_path / "m.onnx"
