from __future__ import annotations

import itertools

import pytest

from edgekit.errors import MissingToolError
from edgekit.options.build import BuildOptions
from edgekit.targets import registry
from edgekit.targets.executorch.toolchain import TOOLCHAIN


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "none"))


@pytest.mark.usefixtures("nothing_installed")
def test_its_row_runs_the_file_that_it_writes():
    target, options = registry.find("executorch"), BuildOptions.make("b0", targets=["executorch"])
    (form,), (execution,) = target.forms(options), target.executions(options)
    assert (form.quantized, form.is_hosted, form.suffixes) == (True, False, (".pte",))
    assert form.toolchain is execution.toolchain is TOOLCHAIN
    assert (execution.row, execution.of) == ("w8a8-executorch", form.row)
    assert execution.kind == "runtime"
    assert not execution.exact


@pytest.mark.usefixtures("nothing_installed")
def test_without_it_the_command_that_installs_it_is_said(tmp_path):
    with pytest.raises(MissingToolError, match="ExecuTorch") as raised:
        registry.find("executorch").examine(tmp_path / "a.pte")
    assert raised.value.hint == "edgekit toolchain install executorch"


def test_the_requirements_are_hashed_and_without_torch():
    lines = TOOLCHAIN.requirements.read_text("utf-8").split("\n")
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    assert TOOLCHAIN.pinned == "1.5.1"
    assert not [pin for pin in pins if pin.startswith("torch==")]
    assert all("--hash" in after for line, after in itertools.pairwise(lines) if line in pins)
