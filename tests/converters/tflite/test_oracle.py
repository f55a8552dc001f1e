"""The same Graph by our writer and by TensorFlow's converter: LiteRT gives the same numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracle import KERNELS, SCHEMES, Subject, feed, in_int8, run
from prerequisites import needs
from small_graphs import CASES, draw, mean_of_one

from edgekit.calibration.quantize import fixed_ranges
from edgekit.converters.tflite.checks import too_new
from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.write import convert
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import KEEPS_SCALE
from edgekit.parity.integer_kernels import run_model

pytestmark = needs("tensorflow")

#: The largest difference of a float file, as a part of its largest output.
TOLERANCE = 1e-6
RUNS = 6
#: Cases of the fast suite: these in every scheme, what is no convolution in int8.
IN_EVERY_SCHEME = (
    "Conv2D 3 stride 2 symmetric 12x12",
    "DepthwiseConv2D 5 stride 2 same 11x11",
    "Flatten before FullyConnected",
    "Mul by a vector",
    "Add",
)
#: And this network, in the scheme in which a layer depends most on its neighbours.
FAST_NETWORKS = (("lite0", "w8a8-static"),)


def operators():
    """Every case in every scheme; what is no convolution with every type of the ends, too."""
    for name in CASES:
        convolution = "stride" in name
        for scheme, (_, ends) in SCHEMES.items():
            if scheme == "w8a8-mixed":  # of whole networks
                continue
            for io in ends[:1] if convolution else ends:
                in_int8 = scheme == "w8a8-static" and not convolution
                # The others of these schemes are small beside int8: one in each.
                one = name == IN_EVERY_SCHEME[0]
                fast = io == ends[0] and (
                    one or in_int8 or (name in IN_EVERY_SCHEME and scheme == "w8a8-static")
                )
                marks = () if fast else (pytest.mark.slow,)
                yield pytest.param(name, scheme, io, marks=marks, id=f"{name} {scheme} {io}")


def networks():
    """Every variant in every scheme."""
    for name in SPECS:
        for scheme in SCHEMES:
            marks = () if (name, scheme) in FAST_NETWORKS else (pytest.mark.slow,)
            yield pytest.param(name, scheme, marks=marks, id=f"{name} {scheme}")


def assert_same(subject, scheme, io, *, fewest=9):
    """Both files give the same numbers, of which there are at least ``fewest``."""
    write, _ = SCHEMES[scheme]
    pair = write(subject, io)
    assert subject.per_channel or list(too_new(parse(pair.ours))) == []
    fed = feed(subject, io)
    for kernels in KERNELS:
        ours, theirs = (run(contents, fed, kernels) for contents in (pair.ours, pair.theirs))
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert len(np.unique(theirs)) >= fewest
        if "static" in scheme or "mixed" in scheme:
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()


def small(name, seed, **more):
    graph = draw(name, seed)
    shape = (RUNS, *graph.shapes[graph.input])
    batch = np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)
    output = CASES[name].output
    return Subject(graph, batch, {graph.output: output} if output else {}, **more)


@pytest.mark.parametrize(("name", "scheme", "io"), [*operators()])
def test_an_operator_gives_what_the_converters_gives(name, scheme, io):
    assert_same(small(name, 0), scheme, io)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", IN_EVERY_SCHEME)
def test_with_other_random_parameters(name, scheme, seed):
    subject = small(name, seed)
    # What keeps its input's scale the converter computes in int8 between two int8 tensors, and so
    # rounds in front of it; ours is float where the Graph says so (test_tflite_mixed.py).
    kept = next(node.name for node in subject.graph.nodes if not KEEPS_SCALE[type(node)])
    assert_same(replace(subject, kept=(kept,)), scheme, SCHEMES[scheme][1][0])


@pytest.mark.parametrize("scheme", ["w8-dynamic", "w8a16-static"])
def test_a_fully_connected_layer_may_have_a_scale_for_each_channel(scheme):
    subject = small("FullyConnected", 3, per_channel=True)
    assert_same(subject, scheme, SCHEMES[scheme][1][0])


def test_a_product_of_a_scale_below_that_of_its_factors_needs_the_third_version():
    for name, version in (("Mul of two maps", 2), ("Mul that grows", 3)):
        model = parse(convert(in_int8(small(name, 0)), io="int8"))
        assert [op.version for op in model.operators if op.name == "MUL"] == [version]


@pytest.mark.parametrize("keep_dims", [False, True])
def test_a_mean_of_one_pixel_may_change_the_scale(keep_dims):
    """The converter writes no such mean, and with it leaves out one of its two scales.

    By the Graph, its input is rounded once and its output again: so do LiteRT's own kernels.
    """
    graph = mean_of_one(keep_dims)(np.random.default_rng(0)).graph("mean of one pixel")
    batch = np.random.default_rng(1).normal(0, 2, (RUNS, 1, 1, 37)).astype(np.float32)
    subject = Subject(graph, batch, {graph.output: (-2.0, 3.0)})
    contents = convert(in_int8(subject), io="int8")
    model, fed = parse(contents), feed(subject, "int8")
    assert [op.name for op in model.operators] == ["DEPTHWISE_CONV_2D", "MEAN"]
    found = run(contents, fed, KERNELS[1])
    assert len(np.unique(found)) > 8
    np.testing.assert_array_equal(found, run_model(model, fed)[model.outputs[0]])


def network(name):
    """A variant of a tenth of the width and depth, on photos of patches of colour."""
    spec = SPECS[name]
    side = min(64, max(33, spec.resolution // 7))
    narrow = replace(spec, width=0.1 * spec.width, depth=0.1 * spec.depth)
    graph = build_graph(narrow, classes=40, resolution=side, seed=2)
    rng = np.random.default_rng(1)  # untrained shifts are all zero
    shifted = {
        key: array + rng.normal(0, 0.3, array.shape).astype(np.float32)
        for key, array in graph.weights.items()
        if key.endswith(("/beta", "/bias"))
    }
    graph = prepare(graph.with_weights({**graph.weights, **shifted}))
    graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
    patches = rng.integers(0, 256, (RUNS, 4, 4, 3)).repeat(16, 1).repeat(16, 2)[:, :side, :side]
    photos = (patches + rng.normal(0, 30, patches.shape)).round().clip(0, 255)
    inputs = ((photos - mean) / std).astype(np.float32)
    tensors = (graph.input, *(node.name for node in graph.nodes))
    kept = tuple(tensor for tensor in tensors if rng.random() < 0.15)
    return Subject(graph, inputs, fixed_ranges(graph, mean, std), kept)


@pytest.mark.parametrize(("name", "scheme"), [*networks()])
def test_a_variant_gives_what_the_converters_gives(name, scheme):
    assert_same(network(name), scheme, SCHEMES[scheme][1][0], fewest=20)
