from __future__ import annotations

import itertools
import json

import pytest
from tiny_tflite import TinyModel

from edgekit.cli import run
from edgekit.errors import MissingToolError
from edgekit.targets import registry
from edgekit.targets.tflm.toolchain import TOOLCHAIN

VERSION = "0.dev20261023182759"


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A file, on a machine where the interpreter is not installed."""
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "none"))
    if TOOLCHAIN.is_beside_us:
        pytest.skip("the interpreter is in this environment")
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    return path


def test_its_execution_claims_the_reference_kernels(model):
    (execution,) = registry.find("tflm").executions(None)
    assert (execution.row, execution.of, execution.exact) == ("w8a8-tflm", "w8a8", True)
    assert execution.runtime == f"TFLite Micro {VERSION}"
    assert execution.toolchain.pinned == VERSION


def test_the_requirements_are_whole_and_hashed():
    lines = TOOLCHAIN.requirements.read_text("utf-8").split("\n")
    names = [line.split("==")[0] for line in lines if "==" in line]
    assert names == ["flatbuffers", "numpy", "numpy", "pyyaml", "tflite-micro"]
    assert all("--hash" in after for line, after in itertools.pairwise(lines) if "==" in line)


def test_without_the_interpreter_the_command_is_said(model):
    with pytest.raises(MissingToolError) as caught:
        registry.find("tflm").estimate(model)
    assert "edgekit toolchain install tflm" in caught.value.hint


def test_check_lists_what_is_to_be_registered(model, capsys):
    assert run(["check", str(model), "--target", "tflm"]) == 0
    said = capsys.readouterr().out
    assert "in a MicroMutableOpResolver<7>:\n  AddConv2D\n  AddDepthwiseConv2D\n" in said
    assert f"flash: {model.stat().st_size:,} bytes" in said
    assert "arena: unknown, as TFLite Micro's interpreter is not installed; edgekit tool" in said
    assert run(["check", str(model), "--target", "tflm", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["register"]) == 7
    assert document["memory"] == {"model": model.stat().st_size}
