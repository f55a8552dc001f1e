"""Blocks of files: together the whole network, and the same where the same is computed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from narrow import narrow
from tiny_tflite import TinyModel

from edgekit.converters.tflite.blocks import find_blocks
from edgekit.converters.tflite.slice import Slicer
from edgekit.converters.tflite.untrained import write_untrained
from edgekit.errors import UsageError


def cut(name, side=32, **changes):
    slicer = Slicer(write_untrained(narrow(name, **changes), side, classes=5))
    return slicer, find_blocks(slicer)


def answer(contents, *inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=contents)
    interpreter.allocate_tensors()
    for item, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(item["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(item["index"]) for item in interpreter.get_output_details()]


@pytest.mark.parametrize("name", ["b0", "lite0", "v2-b0", "es"])
def test_blocks_run_one_after_the_other_are_the_network(name):
    slicer, blocks = cut(name)
    assert blocks[0].start == 0
    assert blocks[-1].stop == len(slicer)
    assert all(a.stop == b.start for a, b in pairwise(blocks))
    assert blocks[0].name == "stem"
    assert blocks[-1].name == "head"
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    (wanted,) = answer(slicer.span(0, len(slicer)), pixels)
    found = pixels
    for block in blocks:
        assert found.shape[1:] == block.shapes[0]
        (found,) = answer(slicer.span(block.start, block.stop), found)
        assert found.shape[1:] == block.shapes[1]
    assert np.array_equal(found, wanted)


def test_repeated_blocks_are_the_same_and_others_are_not():
    _, blocks = cut("b0", depth=1.0)
    keys = {block.name: block.key for block in blocks}
    assert keys["block4b"] == keys["block4c"]
    assert keys["block4a"] != keys["block4b"]  # another stride
    assert keys["block4b"] != keys["block5b"]  # another kernel and channels
    _, larger = cut("b0", side=64, depth=1.0)
    assert not set(keys.values()) & {block.key for block in larger}
    _, wider = cut("b0", width=0.5, depth=1.0)
    assert not {keys["block7a"], keys["head"]} & {block.key for block in wider}


def test_a_file_of_another_writer_has_no_blocks():
    with pytest.raises(UsageError, match="no blocks to add up"):
        find_blocks(Slicer(TinyModel().pack()))
