"""With the interpreter itself: memory, answers, and what it does not take."""

from __future__ import annotations

import numpy as np
import pytest
from foreign_files import FOREIGN
from planted import SIDE, write_files
from pooled import pooled, quantized
from tiny_classifier import IMAGENET, with_metadata
from tiny_tflite import SIZE, TinyModel, float_io, int8_io

from edgekit.cli import run
from edgekit.converters.tflite.write import convert
from edgekit.errors import CompileError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets import registry
from edgekit.targets.tflm.interpreter import answer, measure_memory
from edgekit.targets.tflm.toolchain import TOOLCHAIN

pytestmark = [
    pytest.mark.chips,
    pytest.mark.skipif(
        not TOOLCHAIN.is_installed, reason="needs tflite-micro (edgekit toolchain install tflm)"
    ),
]


def photos(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["b0", "lite0", "lite0 symmetric"])
def test_it_answers_as_the_reference_kernels_do(tmp_path, name):
    write_files(tmp_path, name)
    path, pixels, steps = tmp_path / "int8.tflite", photos(8, SIDE), []
    found = answer(path, pixels, lambda done, total: steps.append((done, total)))
    assert found.outputs.dtype == np.float32
    np.testing.assert_array_equal(found.outputs, LiteRT(path, kernels="reference").run(pixels))
    assert all(1 <= done <= 8 == total for done, total in steps)
    assert found.figures.memory == measure_memory(path).to_memory(path.stat().st_size)


def test_every_pool_of_the_targets_runs(tmp_path):
    path, pixels = tmp_path / "es.tflite", photos(4, 64)
    path.write_bytes(convert(quantized(pooled("es")), io="int8"))
    expected = LiteRT(path, kernels="reference").run(pixels)
    np.testing.assert_array_equal(answer(path, pixels, lambda done, total: None).outputs, expected)


@pytest.mark.parametrize("tiny", [TinyModel(), float_io(), int8_io()], ids=["u8", "f32", "i8"])
def test_inputs_of_every_type_are_fed_as_litert_is(tmp_path, tiny):
    path, pixels = tmp_path / "tiny.tflite", photos(4, SIZE)
    path.write_bytes(with_metadata(tiny, IMAGENET))
    expected = LiteRT(path, kernels="reference").run(pixels)
    np.testing.assert_array_equal(answer(path, pixels, lambda done, total: None).outputs, expected)


def test_the_arena_is_the_least_that_does(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    found = measure_memory(path)
    assert found.arena == found.persistent + found.shared
    assert registry.find("tflm").estimate(path).memory["arena"] == found.arena
    assert found.shared >= SIZE * SIZE * 3


def test_what_it_does_not_take_is_said_in_its_own_words(capsys):
    path = FOREIGN / "aeq_dynamic_wi4b32_afp32.tflite"
    with pytest.raises(CompileError, match="does not take the model") as caught:
        measure_memory(path)
    assert "Node FULLY_CONNECTED (number 4) failed to prepare" in caught.value.cause
    assert run(["check", str(path), "--target", "tflm"]) == 0
    assert "arena: unknown" in capsys.readouterr().out
