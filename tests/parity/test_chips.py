"""Chips' own arithmetic beside the other executions of a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_classifier import IMAGENET, with_metadata
from tiny_tflite import SIZE, TinyModel

from edgekit.cli import run as run_command
from edgekit.converters.tflite.slice import Slicer
from edgekit.errors import MissingToolError, UsageError
from edgekit.parity.chips import find_executions, run_chips
from edgekit.parity.compare import compare_executions
from edgekit.runtimes.litert import LiteRT
from edgekit.targets import registry
from edgekit.targets.base import Examination, Target
from edgekit.targets.executions import Answers, Execution
from edgekit.targets.toolchains.toolchain import Toolchain

HERE = Path(__file__)
READY = Toolchain("ready", "Ready", "numpy", ("numpy",), "none", HERE, extra="ready")
ABSENT = Toolchain("absent", "The absent tool", "absent", ("no_such_module",), "none", HERE)


def plain(path: Path, pixels: Any, advance: Any) -> Answers:
    advance(len(pixels), len(pixels))
    return Answers(LiteRT(path, kernels="reference").run(pixels).reshape(len(pixels), -1))


def wrong(path: Path, pixels: Any, advance: Any) -> Answers:
    """As `plain`, but that the depthwise convolution has other weights."""
    slicer = Slicer(path.read_bytes())
    for tensor in slicer.model.subgraphs[0].tensors:
        if tensor.name == b"depth_w":
            buffer = slicer.model.buffers[tensor.buffer]
            buffer.data = -np.array(buffer.data, np.uint8).view(np.int8)
            buffer.data = buffer.data.view(np.uint8)
    altered = path.with_name("altered.tflite")
    count = len(slicer)
    altered.write_bytes(slicer.prefix(count))
    return plain(altered, pixels, advance)


def execution(row: str, run: Any, tool: Toolchain = READY, **more: Any) -> Execution:
    of = more.pop("of", "w8a8")
    return Execution(row, of, f"{row} 1.0", "simulator", tool, run, **more)


class Chip(Target):
    """A target with the executions that a test gives it."""

    name, scheme = "chip", "w8a8-static"

    def __init__(self, *given: Execution) -> None:
        super().__init__()
        self.given = given

    def examine(self, path: Any, model: Any = None) -> Examination:
        return Examination(Path(path), model, ())

    def executions(self, options: Any) -> tuple[Execution, ...]:
        return self.given


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(with_metadata(TinyModel(), IMAGENET))
    return path


def test_a_chip_is_one_more_execution(model):
    target = Chip(execution("w8a8-plain", plain), execution("w8a8-wrong", wrong))
    without = compare_executions(model, photos=4)
    found = compare_executions(model, photos=4, targets=[target])
    assert found["executions"][-3:] == ["tflite reference", "w8a8-plain", "w8a8-wrong"]
    assert (without["chips"], found["noise_floor"]) == ([], without["noise_floor"])
    equal, unequal = found["chips"]
    assert (equal["equal"], equal["photos"], equal["first"]) == (4, 4, None)
    assert (unequal["equal"], unequal["runtime"]) == (0, "w8a8-wrong 1.0")
    assert unequal["first"] is not None
    assert unequal["first"]["operator"] == "DEPTHWISE_CONV_2D"
    assert unequal["first"]["tensor"] == "depth"
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    (pair,) = (p for p in found["pairs"] if (p["a"], p["b"]) == ("tflite reference", "w8a8-plain"))
    assert (pair["agreement"], pair["mean_lsb"]) == (1, 0)


def test_a_slow_one_runs_as_many_photos_as_it_takes(model):
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    expected = LiteRT(model, kernels="reference").run(pixels)
    steps = []
    outputs, (result,) = run_chips(
        model,
        [execution("w8a8-slow", plain, most=2)],
        pixels,
        expected,
        lambda task, done, total: steps.append((task, done, total)),
    )
    assert (result["photos"], result["equal"], outputs) == (2, 2, {})
    assert steps == [("w8a8-slow", 2, 2)]


def test_what_is_not_installed_is_left_out_where_something_is():
    chip = Chip(execution("a", plain, ABSENT), execution("b", plain), execution("c", plain, of="x"))
    assert [one.row for one in find_executions([chip])] == ["b"]
    with pytest.raises(MissingToolError, match="The absent tool is not installed"):
        find_executions([Chip(execution("a", plain, ABSENT))])


def test_a_target_without_any_is_refused():
    with pytest.raises(UsageError, match="nothing runs the int8"):
        find_executions([registry.find("tflite")])


def test_the_command_names_the_operator(model, capsys, monkeypatch):
    monkeypatch.setattr(registry, "find_all", lambda names: [Chip(execution("w8a8-x", wrong))])
    assert run_command(["parity", str(model), "--photos", "2", "--target", "chip"]) == 0
    said = capsys.readouterr().out
    assert "w8a8-x" in said
    assert (
        "0 of 2  w8a8-x 1.0\n  first operator that differs: 2 DEPTHWISE_CONV_2D, tensor depth"
        in said
    )
