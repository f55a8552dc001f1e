from __future__ import annotations

import itertools

import pytest

from edgekit.errors import MissingToolError, UsageError
from edgekit.options.build import BuildOptions
from edgekit.targets import registry
from edgekit.targets.imx500.compiler import commands_on_the_pi
from edgekit.targets.imx500.options import ConverterOptions
from edgekit.targets.imx500.toolchain import TOOLCHAIN


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "none"))


@pytest.mark.usefixtures("nothing_installed")
def test_two_rows_run_the_two_files():
    target, options = registry.find("imx500"), BuildOptions.make("b0", targets=["imx500"])
    forms, executions = target.forms(options), target.executions(options)
    assert [form.quantized for form in forms] == [True, False]
    assert [run.of for run in executions] == [form.row for form in forms]
    assert [run.row for run in executions] == ["w8a8-imx500", "w8a8-imx500-plain"]
    assert not any(form.is_hosted for form in forms)


@pytest.mark.usefixtures("nothing_installed")
def test_without_it_the_command_that_installs_it_is_said(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"")
    with pytest.raises(MissingToolError) as raised:
        registry.find("imx500").examine(path)
    assert raised.value.hint == "edgekit toolchain install imx500"


def test_options_become_the_converters_own():
    assert ConverterOptions().words() == ["--input-persistency"]
    assert ConverterOptions(keep_photo=False).words() == ["--no-input-persistency"]
    with pytest.raises(UsageError, match="--timeout 0"):
        ConverterOptions(timeout_s=0)


def test_the_pi_packs_what_was_converted():
    assert commands_on_the_pi("a.zip")[-1] == "imx500-package -i a.zip -o rpk"


def test_the_requirements_are_hashed_and_without_torch():
    lines = TOOLCHAIN.requirements.read_text("utf-8").split("\n")
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    assert TOOLCHAIN.pinned == "3.19.2"
    assert not [pin for pin in pins if pin.startswith(("torch==", "stringcase=="))]
    assert all("--hash" in after for line, after in itertools.pairwise(lines) if line in pins)
