"""Boxes at the end of a detector: its nodes, its scheme, and that they are what numpy gives."""

import numpy as np
import pytest
import torch

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.data.boxes.anchors import ROOT_RATIOS, Anchors
from edgekit.networks.builder import GraphBuilder
from edgekit.networks.cost import cost
from edgekit.networks.detection.outputs import centers_of, with_detections
from edgekit.networks.detection.postprocess import PostProcess, post_process
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Concat, Conv2D, MaxPool2D, Rows
from edgekit.networks.passes import prepare
from edgekit.networks.schemes import FP32, W8A8, scheme_of
from edgekit.networks.torch_network import Network

SIDE, CLASSES = 32, 3
ANCHORS = Anchors(scale=2.0, ratios=ROOT_RATIOS, octaves=1, levels=(3, 4))


def tiny_detector(seed=0, side=SIDE):
    """Two levels of a stem, each with offsets and logits, and the joined outputs."""
    builder = GraphBuilder(side)
    builder.add(
        Conv2D(name="stem", inputs=("input",), kernel=3, stride=2, filters=8, activation="relu6")
    )
    builder.add(
        Conv2D(name="p2", inputs=("stem",), kernel=3, stride=2, filters=8, activation="relu6")
    )
    builder.add(MaxPool2D(name="p3", inputs=("p2",), kernel=3, stride=2))
    builder.add(MaxPool2D(name="p4", inputs=("p3",), kernel=3, stride=2))
    for what, columns in (("boxes", 4), ("logits", CLASSES)):
        rows = []
        for level in ("p3", "p4"):
            name = f"{what}_{level}"
            builder.add(Conv2D(name=name, inputs=(level,), filters=3 * columns))
            rows.append(builder.add(Rows(name=f"{name}_rows", inputs=(name,), columns=columns)))
        builder.add(Concat(name=what, inputs=tuple(rows)))
    graph = builder.graph("tiny", {"family": "none"}, seed)
    rng = np.random.default_rng(seed)
    lively = {
        name: (a + rng.normal(0, 1, a.shape)).astype(np.float32) if "bias" in name else a
        for name, a in graph.weights.items()
    }
    return graph.with_weights(lively)


@pytest.fixture(scope="module")
def graph():
    return tiny_detector()


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(1).uniform(-1, 1, (3, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def quantized(graph, photos):
    ready = prepare(graph)
    histograms = collect(ready, [photos], skip=[ready.input])
    ranges = choose_ranges(histograms, "minmax") | fixed_ranges(ready, 127.5, 127.5)
    return quantize(ready, ranges)


def run(network, photos):
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(photos).permute(0, 3, 1, 2)).numpy()


def test_boxes_are_what_numpy_makes_of_the_raw_outputs(graph, photos):
    raw = run(Network(graph), photos)
    options = {"max_detections": 7, "score_threshold": 0.3, "iou_threshold": 0.4}
    ended = with_detections(graph, ANCHORS, **options)
    found = run(Network(ended), photos)
    assert found.shape == (3, 7, 6) == (3, *ended.output_shape)
    anchors = centers_of(ANCHORS, SIDE, SIDE)
    for rows, joined in zip(found, raw, strict=True):
        scores = torch.from_numpy(joined[:, 4:]).sigmoid().numpy()
        expected = post_process(
            joined[:, :4],
            scores,
            anchors,
            PostProcess(CLASSES, 7, nms_score_threshold=0.3, nms_iou_threshold=0.4),
        )
        assert expected.found > 1
        assert (rows == expected.rows()).all()


def test_classes_may_overlap_where_each_is_alone(graph, photos):
    ended = with_detections(graph, ANCHORS, score_threshold=0.2, per_class=True)
    alone = run(Network(ended), photos)
    over_all = run(Network(with_detections(graph, ANCHORS, score_threshold=0.2)), photos)
    assert (alone[..., 4] > 0).sum() > (over_all[..., 4] > 0).sum()


def test_anchors_are_weights_that_nobody_learns(graph):
    ended = with_detections(graph, ANCHORS)
    anchors = ended.weights["detections/anchors"]
    assert anchors.shape == (3 * (16 + 4), 4)
    first = ANCHORS.boxes(SIDE, SIDE)[0] / SIDE
    cy, cx, high, wide = anchors[0]
    assert (cy - high / 2, cx - wide / 2, cy + high / 2, cx + wide / 2) == pytest.approx(first)
    assert cost(ended).parameters == cost(graph).parameters
    assert (Network(ended).to_graph().weights["detections/anchors"] == anchors).all()


def test_the_network_knows_its_classes_and_its_end(graph):
    ended = with_detections(graph, ANCHORS)
    assert ended.outputs == ("detections",)
    assert ended.classes == graph.classes == CLASSES
    assert scheme_of(ended) == FP32


def test_it_is_read_back_as_it_was_saved(graph, tmp_path, photos):
    ended = with_detections(graph, ANCHORS, per_class=True)
    ended.save(tmp_path / "graph.safetensors")
    again = Graph.load(tmp_path / "graph.safetensors")
    assert again.nodes == ended.nodes
    assert (run(Network(again), photos) == run(Network(ended), photos)).all()


def test_a_quantized_network_stays_int8_and_its_scores_have_the_operators_steps(quantized, photos):
    ended = with_detections(quantized, ANCHORS, score_threshold=0.0)
    assert scheme_of(ended) == W8A8
    assert ended.quant["scores"].scale == (1 / 256,)
    assert ended.quant["scores"].zero_point == (-128,)
    assert "detections" not in ended.quant
    found = run(Simulation(ended), photos)
    steps = found[..., 4] * 256
    assert (steps == steps.round()).all()
    assert steps.max() > 100
    raw = run(Simulation(quantized), photos)[0]
    scores = np.rint(256 / (1 + np.exp(-raw[:, 4:]))).clip(max=255) / 256
    expected = post_process(
        raw[:, :4],
        scores.astype(np.float32),
        centers_of(ANCHORS, SIDE, SIDE),
        PostProcess(CLASSES, nms_score_threshold=0.0),
    )
    assert (found[0] == expected.rows()).all()


def test_other_networks_and_other_anchors_are_refused(graph):
    with pytest.raises(TypeError, match="offsets and logits"):
        with_detections(with_detections(graph, ANCHORS), ANCHORS)
    with pytest.raises(ValueError, match="anchors for tiny"):
        with_detections(graph, Anchors(octaves=1))
