"""What a target does unless it says otherwise."""

from pathlib import Path

import pytest

from edgekit.converters.findings import ERROR, Finding
from edgekit.errors import CompileError, UsageError
from edgekit.targets import registry
from edgekit.targets.base import Compiled, Examination, Target
from edgekit.targets.devices.hosts import LocalHost

BROKEN = Finding(ERROR, "rule", "input", "it is wrong", "mend it")


class Plain(Target):
    """It compiles a file by giving it another name; one called broken breaks a rule."""

    name = "a chip"
    scheme = "w8a8-static"
    compiles = True

    def examine(self, path, model=None):
        """By the file's name."""
        broken = Path(path).stem == "broken"
        return Examination(Path(path), model, (BROKEN,) if broken else ())

    def compile(self, examined, out_dir, timeout_s=1):
        """Gives it another name."""
        made = Path(out_dir) / f"{examined.path.stem}_made"
        return Compiled(examined.path, (made,), made, 1, 0, (), (), "")


def test_files_are_compiled_one_by_one():
    made = Plain().compile_files(["a/m.onnx", "n.onnx"], "out", None, LocalHost())
    assert [one.model for one in made] == [Path("out/m_made"), Path("out/n_made")]


def test_two_files_of_one_name_are_refused():
    with pytest.raises(UsageError, match="two files are called m"):
        Plain().compile_files(["a/m.onnx", "b/m.onnx"], "out", None)


def test_another_host_is_refused():
    with pytest.raises(UsageError, match="on this machine alone"):
        Plain().compile_files(["m.onnx"], "out", None, object())


def test_a_broken_rule_is_refused_unless_forced():
    assert len(Plain().compile_files(["broken.onnx"], "out", None, force=True)) == 1
    with pytest.raises(CompileError, match="cannot be compiled for a chip") as caught:
        Plain().compile_files(["broken.onnx"], "out", None)
    assert (caught.value.cause, caught.value.hint) == ("input: it is wrong", "mend it")


def test_the_seconds_of_an_option_hold_unless_a_build_names_others():
    (target,) = registry.find_all(["edgetpu"], ["edgetpu.timeout=600"])
    assert target.options_within(None).timeout_s == 600
    assert target.options_within(30).timeout_s == 30
    assert target.command("m.tflite", "out")[-2] == "600"
