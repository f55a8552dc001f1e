"""The first operator that differs, found by an execution that answers for whole files alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from detector_graph import int8
from planted import SIDE, write_files
from tiny_classifier import IMAGENET, with_metadata
from tiny_tflite import SIZE, int8_io

from edgekit.converters.tflite.file import parse, read
from edgekit.converters.tflite.matching import match
from edgekit.converters.tflite.slice import Slicer
from edgekit.converters.tflite.write import convert
from edgekit.errors import CompileError, MissingToolError
from edgekit.parity.first_difference import find_first_difference
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.executions import Answers, Execution
from edgekit.targets.toolchains.toolchain import Toolchain

Fault = Callable[[Any, Any], None]
TOOL = Toolchain("none", "None", "none", (), "none", Path("none.txt"))


def execution(run: Callable[[Path, Any, Any], Answers]) -> Execution:
    return Execution("w8a8-planted", "w8a8", "LiteRT", "simulator", TOOL, run, exact=True)


def faulty(fault: Fault, tensor: str, runs: list[int] | None = None) -> Execution:
    """LiteRT's reference kernels, on whatever file, with a fault where it has a tensor."""

    def run(path: Path, pixels: Any, advance: Any) -> Answers:
        if runs is not None:
            runs.append(len(read(path).operators))
        slicer = Slicer(path.read_bytes())
        for one in slicer.model.subgraphs[0].tensors:
            if one.name == tensor.encode():
                fault(slicer.model, one)
        builder = flatbuffers.Builder(4096)
        builder.Finish(slicer.model.Pack(builder), b"TFL3")
        altered = path.with_name("altered.tflite")
        altered.write_bytes(bytes(builder.Output()))
        outputs = LiteRT(altered, kernels="reference").run(pixels)
        return Answers(outputs.reshape(len(pixels), -1))

    return execution(run)


def bias(model: Any, tensor: Any) -> None:
    values = np.array(model.buffers[tensor.buffer].data, np.uint8)
    values.view(np.int32)[:] += 3000  # of one channel, the answers may show nothing
    model.buffers[tensor.buffer].data = values


def kernel(model: Any, tensor: Any) -> None:
    values = np.array(model.buffers[tensor.buffer].data, np.uint8)
    model.buffers[tensor.buffer].data = (-values.view(np.int8)).view(np.uint8)


def weight_scales(model: Any, tensor: Any) -> None:
    tensor.quantization.scale = np.array(tensor.quantization.scale) * np.float32(1.1)


@pytest.fixture(scope="module")
def b0(tmp_path_factory):
    folder = tmp_path_factory.mktemp("b0")
    _, quantized = write_files(folder, "b0")
    path = folder / "int8.tflite"
    model = read(path)
    return path, model, match(quantized, model)


PHOTO = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
FAULTS = [
    (bias, "stem", "bias"),
    (kernel, "stem", "kernel"),
    (weight_scales, "block2b_depthwise", "kernel"),
    (kernel, "block3a_se_reduce", "kernel"),
    (bias, "block3b_project", "bias"),
    (kernel, "head", "kernel"),
    (bias, "logits", "bias"),
]


#: Each takes a second: the first and the last operator, and one between.
EACH = [
    pytest.param(*row, marks=() if place in (0, 2, len(FAULTS) - 1) else pytest.mark.slow)
    for place, row in enumerate(FAULTS)
]


@pytest.mark.parametrize(("fault", "node", "part"), EACH)
def test_a_planted_fault_is_found_at_its_operator(b0, fault, node, part):
    path, model, found = b0
    name = model.tensors[found.tensors[f"{node}/{part}"]].name
    runs: list[int] = []
    first = find_first_difference(path, faulty(fault, name, runs), PHOTO)
    assert first is not None
    assert first.index == found.operators[node]
    op = model.operators[first.index]
    assert (first.operator, first.tensor) == (op.name, model.tensors[op.outputs[0]].name)
    assert 0 < first.differing <= first.values
    assert first.steps >= 1
    assert f"{first.index} {op.name}, tensor {first.tensor}, by up to " in str(first)
    assert len(runs) < 25  # of some 137 operators


def test_an_operator_with_two_inputs_is_named_only_where_both_are_equal(b0):
    path, model, found = b0
    squeezed = model.tensors[found.tensors["block1a_se_expand/bias"]].name
    first = find_first_difference(path, faulty(bias, squeezed), PHOTO)
    assert first is not None
    assert first.index == found.operators["block1a_se_expand"]


def test_equal_answers_have_no_first_difference(b0):
    path, _, _ = b0
    runs: list[int] = []
    assert find_first_difference(path, faulty(bias, "no such tensor", runs), PHOTO) is None
    assert len(runs) == 1


def test_parts_that_a_tool_refuses_are_passed_over(b0):
    path, model, found = b0
    node = found.operators["block3b_project"]
    name = model.tensors[found.tensors["block3b_project/bias"]].name
    inner = faulty(bias, name)

    def run(part: Path, pixels: Any, advance: Any) -> Answers:
        if len(read(part).operators) % 3 == 1:
            raise CompileError("the tool does not take the part")
        return inner.run(part, pixels, advance)

    first = find_first_difference(path, execution(run), PHOTO)
    assert first is not None
    assert node <= first.index <= node + 2


@pytest.mark.parametrize("node", ["second", "box1_pointwise", "class2", None])
def test_a_fault_on_the_way_to_any_of_several_outputs_is_found(tmp_path, node):
    graph, path = int8(), tmp_path / "detector.tflite"
    path.write_bytes(convert(graph, io="uint8"))
    photo = np.random.default_rng(3).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    first = find_first_difference(path, faulty(bias, f"{node}/bias"), photo)
    if node is None:
        assert first is None
        return
    assert first is not None
    assert first.index == match(graph, read(path)).operators[node]


def test_a_tool_that_is_not_there_ends_the_search(b0):
    def run(path: Path, pixels: Any, advance: Any) -> Answers:
        raise MissingToolError("there is none")

    with pytest.raises(MissingToolError):
        find_first_difference(b0[0], execution(run), PHOTO)


def test_a_part_is_fed_as_the_file_is(tmp_path):
    """An int8 input whose file says how: parts keep that."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(with_metadata(int8_io(scale=0.02, zero_point=3), IMAGENET))
    photo = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    first = find_first_difference(path, faulty(bias, "depth_b"), photo)
    assert first is not None
    assert first.operator == "DEPTHWISE_CONV_2D"
    part = tmp_path / "part.tflite"
    part.write_bytes(Slicer(path.read_bytes()).ending_at(1))
    np.testing.assert_array_equal(LiteRT(part).feed(photo), LiteRT(path).feed(photo))
    assert parse(part.read_bytes()).metadata == read(path).metadata
