"""Both heads: what the levels share, what they do not, and the order of the outputs."""

import numpy as np
import torch
from narrow import narrow

from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.detection.heads import is_head
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import WeightedNode
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import Network

SPEC = narrow("b0").with_decoder(EfficientDet(16, 1, 2))


def build(**options):
    return build_graph(SPEC, **{"classes": 3, "resolution": 64, "seed": 5, **options})


def test_levels_share_kernels_and_biases_and_have_batch_normalizations_of_their_own():
    graph = build()
    heads = [n for n in graph.nodes if is_head(n.name) and isinstance(n, WeightedNode)]
    of_level = {level: [n for n in heads if f"_p{level}" in n.name] for level in range(3, 8)}
    shared = [
        {w for n in nodes for w in n.weight_names() if w.endswith(("/kernel", "/bias"))}
        for nodes in of_level.values()
    ]
    assert all(names == shared[0] for names in shared[1:])
    # Of two heads with two repeats and a predictor: depthwise and pointwise kernels, and biases.
    assert len(shared[0]) == 2 * 3 * (2 + 1)
    own = [{w for n in nodes for w in n.weight_names()} - shared[0] for nodes in of_level.values()]
    assert [len(names) for names in own] == [2 * 2 * 4] * 5
    assert len(set.union(*own)) == 5 * 2 * 2 * 4


def test_activations_are_behind_every_convolution_but_the_predicting_one():
    graph = build()
    for head in ("class", "box"):
        assert graph.node(f"{head}_p5_conv2_pointwise").activation == "swish"
        assert graph.node(f"{head}_p5_conv2_depthwise").activation == "linear"
        last = graph.node(f"{head}_p5")
        assert (last.activation, last.batch_norm, last.use_bias) == ("linear", None, True)
        assert last.inputs == (f"{head}_p5_depthwise",)


def test_outputs_are_the_anchors_of_all_levels_boxes_first():
    graph = build()
    assert graph.outputs == ("boxes", "logits")
    assert graph.output == "logits"
    values = {}
    with torch.inference_mode():
        x = torch.rand(2, 3, 64, 64) * 2 - 1
        joined = Network(graph).eval().run(x, lambda n, v: values.setdefault(n, v))
    anchors = SPEC.anchors.count(64, 64)
    assert joined.shape == (2, anchors, 7)
    start = 0
    for level, (rows, columns) in zip(range(3, 8), SPEC.anchors.sizes(64, 64), strict=True):
        boxes, classes = (values[f"{head}_p{level}"].numpy() for head in ("box", "class"))
        for row, column, anchor in ((0, 0, 0), (rows - 1, 0, 8), (0, columns - 1, 4)):
            place = start + (row * columns + column) * 9 + anchor
            found = joined[1, place].numpy()
            expected = boxes[1, 4 * anchor : 4 * anchor + 4, row, column]
            np.testing.assert_array_equal(found[:4], expected)
            expected = classes[1, 3 * anchor : 3 * anchor + 3, row, column]
            np.testing.assert_array_equal(found[4:], expected)
        start += rows * columns * 9
    assert start == anchors


def test_prepared_for_an_integer_target_it_computes_the_same():
    graph = build()
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.uniform(0.5, 1.5, a.shape) if name.endswith(("variance", "sum/weights")) else a)
        for name, a in graph.weights.items()
    }
    graph = graph.with_weights({n: np.asarray(a, np.float32) for n, a in weights.items()})
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        expected, found = (Network(one).eval()(x) for one in (graph, prepare(graph)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
