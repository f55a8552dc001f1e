"""The operators of maps by our writer and by TensorFlow's converter: LiteRT gives the same."""

from __future__ import annotations

import numpy as np
import pytest
from map_graphs import CASES, inputs
from oracle import KERNELS, SCHEMES, Subject, feed, run
from prerequisites import needs

pytestmark = needs("tensorflow")

NAMES = (
    *("nearest to 40x27", "bilinear-corners to 33x24", "bilinear-half-pixel to 13x9", "Tile"),
    *("ArgMax", "ArgMax that keeps dimensions", "Concat", "Conv2D 3 dilated 2 same"),
    *("Conv2D 2 dilated 3 symmetric", "DepthwiseConv2D 3 dilated 2 same"),
    *("DepthwiseConv2D 5 dilated 3 same", "unet logits", "aspp logits", "aspp classes"),
)
#: The converter has no ARG_MAX of int16, and gives a CONCATENATION the scales of its inputs.
NOT_IN_INT16 = ("ArgMax", "Concat", "unet", "aspp")
FAST = ("Tile", "Concat", "aspp classes")


def cases():
    """Each operator in each scheme; in the fast suite, a few in int8."""
    for name in NAMES:
        for scheme in SCHEMES:
            if scheme == "w8a8-mixed" or (scheme[:5] == "w8a16" and name.startswith(NOT_IN_INT16)):
                continue
            marks = () if name in FAST and scheme == "w8a8-static" else pytest.mark.slow
            yield pytest.param(name, scheme, marks=marks)


@pytest.mark.parametrize(("name", "scheme"), [*cases()])
def test_a_file_gives_what_the_converter_s_gives(name, scheme):
    graph = CASES[name]()
    subject = Subject(graph, inputs(graph))
    write, (io, *_) = SCHEMES[scheme]
    pair = write(subject, io)
    fed = feed(subject, io)
    for kernels in KERNELS:
        ours, theirs = (run(contents, fed, kernels) for contents in (pair.ours, pair.theirs))
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert len(np.unique(theirs)) >= 3
        if "static" in scheme or graph.class_tensors:
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max()
