"""Nearest resizes are given half pixels where they choose the same, and there alone."""

from __future__ import annotations

import numpy as np
import pytest
from map_formats import as_integers
from map_graphs import CASES, quantized

from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.write import convert
from edgekit.runtimes.interpreter import Kernels
from edgekit.targets.ethosu.nearest import NEAREST, with_half_pixels


def halves(contents: bytes) -> list[bool]:
    found = [operator for operator in parse(contents).operators if operator.name == NEAREST]
    return [bool(operator.options["half_pixel_centers"]) for operator in found]


def test_doubled_maps_are_given_half_pixels_and_answer_alike():
    graph = quantized(CASES["unet logits"]())
    before = convert(graph, io="int8")
    after = with_half_pixels(before)
    assert not any(halves(before))
    assert any(halves(after))
    image = as_integers(graph)[:1]
    for kernels in ("reference", "xnnpack"):
        answers = [Kernels(contents, kernels).run([image]) for contents in (before, after)]
        np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("name", ["aspp classes-fused", "aspp logits"])
def test_what_half_pixels_would_change_stays_as_it_is(name):
    before = convert(quantized(CASES[name]()), io="int8")
    assert with_half_pixels(before) == before
