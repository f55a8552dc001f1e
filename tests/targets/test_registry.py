from __future__ import annotations

import importlib
import sys

import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit.targets import registry
from edgekit.targets.base import Target
from edgekit.targets.edgetpu.target import EdgeTPUTarget
from edgekit.targets.tflite import TFLiteTarget

PLUGIN = """
from edgekit.targets.base import Examination, Target

class Fridge(Target):
    name = "fridge"
    scheme = "w8a8-static"

    def examine(self, path, model=None):
        return Examination(path, model, ())

class NotATarget:
    pass
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package on the path, as pip would have installed it; returns how to announce a target."""
    (tmp_path / "fridge_plugin.py").write_text(PLUGIN)
    info = tmp_path / "fridge_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fridge-plugin\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def announce(lines: str) -> None:
        (info / "entry_points.txt").write_text(f"[edgekit.targets]\n{lines}\n")
        importlib.invalidate_caches()

    yield announce
    sys.modules.pop("fridge_plugin", None)


@pytest.mark.parametrize(("name", "kind"), [("tflite", TFLiteTarget), ("edgetpu", EdgeTPUTarget)])
def test_our_own_targets(name, kind):
    target = registry.find(name)
    assert type(target) is kind
    assert (target.name, target.scheme) == (name, "w8a8-static")


def test_names_begin_with_ours():
    assert registry.names()[:2] == ["tflite", "edgetpu"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="unknown target 'edgetpuu'") as caught:
        registry.find("edgetpuu")
    assert "did you mean 'edgetpu'" in caught.value.hint


def test_a_target_of_another_package_is_found(plugin):
    plugin("fridge = fridge_plugin:Fridge")
    assert "fridge" in registry.names()
    target = registry.find("fridge")
    assert isinstance(target, Target)
    assert (target.name, target.compile(None, None), target.command(None, None)) == (
        "fridge",
        None,
        None,
    )


def test_another_package_cannot_take_our_names(plugin):
    plugin("edgetpu = fridge_plugin:Fridge")
    assert type(registry.find("edgetpu")) is EdgeTPUTarget


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("broken = fridge_plugin:Missing", "AttributeError"),
        ("broken = no_such_module:Fridge", "ModuleNotFoundError"),
        ("broken = fridge_plugin:NotATarget", "not a subclass"),
    ],
)
def test_a_broken_plugin_is_named(plugin, line, cause):
    plugin(line)
    with pytest.raises(EdgekitError, match="fridge-plugin") as caught:
        registry.find("broken")
    assert cause in caught.value.cause


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("min-runtime-version=13", "min_runtime_version", 13),
        ("search-delegate=yes", "search_delegate", True),
        ("intermediate-tensors=a,b", "intermediate_tensors", ("a", "b")),
        ("compiler=/opt/x=y", "compiler", "/opt/x=y"),
    ],
)
def test_options_of_a_target_are_read_by_their_types(text, field, value):
    (found,) = registry.find_all(["edgetpu"], [f"edgetpu.{text}"])
    assert getattr(found.options, field) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("edgetpu.timeout", "TARGET.OPTION=VALUE"),
        ("edgetpu=3", "TARGET.OPTION=VALUE"),
        ("onnx.opset=13", "is for another target"),
        ("edgetpu.speed=2", "no option 'speed'"),
        ("edgetpu.timeout=soon", "takes int"),
        ("edgetpu.search-delegate=perhaps", "takes bool"),
        ("edgetpu.min-runtime-version=3", "is not in 10 to 14"),
    ],
)
def test_an_option_that_a_target_does_not_take_is_refused(text, says):
    with pytest.raises(UsageError, match=says):
        registry.find_all(["edgetpu"], [text])
