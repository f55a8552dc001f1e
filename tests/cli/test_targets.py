"""``edgekit targets``."""

from __future__ import annotations

import json

from edgekit.cli import run
from edgekit.targets import registry


def test_every_target_is_described(capsys):
    assert run(["targets", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["targets"]}
    assert list(rows) == registry.names()
    assert all(row["about"] and row["takes"] for row in rows.values())
    edgetpu = rows["edgetpu"]
    assert {"name": "timeout", "help": "Seconds that the compiler may take.", "default": 180} in (
        edgetpu["options"]
    )
    (compiler,) = edgetpu["needs"]
    assert compiler["what"] == "edgetpu_compiler"
    (packages,) = rows["onnx"]["needs"]
    assert packages["what"].startswith("onnx ")
    assert rows["tflite"]["needs"] == []


def test_one_that_cannot_be_loaded_is_named(monkeypatch, capsys):
    monkeypatch.setitem(registry.OWN, "broken", "no_such_module:Broken")
    assert run(["targets"]) == 0
    said = capsys.readouterr().out
    assert "broken       target 'broken' cannot be loaded from no_such_module:Broken" in said
    assert "ModuleNotFoundError" in said
