"""Parameters, operations and anchors of every published detector, to the last digit."""

import pytest

from edgekit.networks.cost import cost, macs
from edgekit.networks.detection.bifpn import is_pyramid
from edgekit.networks.detection.detectors import PUBLISHED, EfficientDet
from edgekit.networks.detection.heads import BOX, CLASS
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.efficientnet.catalog import int8_size, list_models
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.nodes import STATISTICS
from edgekit.networks.passes import fold_batch_norm

#: At 90 classes and its own size: parameters of the backbone, the pyramid, the class and the box
#: net, numbers among the statistics, multiply-accumulates of convolutions, and anchors: counted on
#: effdet 0.4.1's tf_ models and on google/automl 6a54c87.
TABLE = {
    "d0": (3_595_388, 196_281, 69_354, 19_044, 47_136, 2_492_331_520, 49_104),
    "d1": (6_101_024, 390_972, 101_394, 32_508, 71_456, 6_003_416_880, 76_725),
    "d2": (7_202_562, 708_159, 136_890, 49_428, 81_776, 10_832_466_688, 110_484),
    "d3": (10_103_336, 1_559_474, 247_050, 122_436, 114_304, 24_568_753_664, 150_381),
    "d4": (16_742_216, 3_349_829, 402_890, 228_740, 167_312, 54_583_712_096, 196_416),
    "d5": (27_288_112, 5_405_893, 591_498, 367_812, 227_392, 134_133_865_152, 306_900),
    "d6": (39_403_992, 10_583_808, 1_090_986, 792_996, 311_984, 224_121_477_984, 306_900),
    "d7": (39_403_992, 10_583_808, 1_090_986, 792_996, 311_984, 322_731_636_576, 441_936),
    "d7x": (62_143_440, 13_112_064, 1_094_826, 796_836, 417_728, 407_628_345_344, 442_260),
    "det-lite0": (2_958_848, 196_224, 69_354, 19_044, 47_136, 973_589_696, 19_206),
    "det-lite1": (3_723_520, 390_896, 101_394, 32_508, 63_072, 1_966_649_904, 27_621),
    "det-lite2": (4_357_952, 708_064, 136_890, 49_428, 72_560, 3_371_304_384, 37_629),
    "det-lite3": (6_422_016, 1_559_360, 247_050, 122_436, 104_192, 7_480_187_904, 49_104),
    "det-lite3x": (6_422_016, 2_333_200, 340_610, 185_036, 111_712, 13_978_127_600, 76_725),
    "det-lite4": (11_149_568, 3_349_696, 402_890, 228_740, 155_504, 20_168_084_000, 76_725),
}
#: Parameters of effdet's models without Google's biases: of all, the pyramid and both nets.
SYMMETRIC = {
    "d0": (3_877_763, 194_361, 69_162, 18_852),
    "d1": (6_622_026, None, None, None),
    "d2": (8_091_215, None, None, None),
    "d3": (12_022_376, None, None, None),
}


def parts(graph):
    """Numbers of weights by the part of the network, and of statistics."""
    found, statistics = {}, 0
    for name, array in graph.weights.items():
        node, _, suffix = name.partition("/")
        if suffix in STATISTICS:
            statistics += array.size
            continue
        part = node.partition("_")[0]
        part = "backbone" if is_backbone(node) else "pyramid" if is_pyramid(node) else part
        found[part] = found.get(part, 0) + array.size
    return found, statistics


@pytest.mark.parametrize("name", TABLE)
def test_a_published_detector_has_its_numbers(name):
    backbone, pyramid, classes, boxes, statistics, operations, anchors = TABLE[name]
    spec = find_spec(name)
    graph = build_graph(spec, seed=None)
    expected = {"backbone": backbone, "pyramid": pyramid, CLASS: classes, BOX: boxes}
    assert parts(graph) == (expected, statistics)
    assert cost(graph).parameters == sum(expected.values())
    assert sum(macs(graph, node) for node in graph.nodes) == operations
    assert graph.outputs == ("boxes", "logits")
    assert (graph.shapes["boxes"], graph.shapes["logits"]) == ((anchors, 4), (anchors, 90))
    assert spec.anchors.count(spec.resolution, spec.resolution) == anchors


def test_no_published_detector_is_left_out():
    assert TABLE.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("name", SYMMETRIC)
def test_without_biases_before_batch_normalizations(name):
    whole, pyramid, classes, boxes = SYMMETRIC[name]
    spec = find_spec(name)
    row = spec.decoder
    bare = EfficientDet(
        row.channels, row.cells, row.repeats, row.fusion, biased=False, padding="symmetric"
    )
    graph = build_graph(SPECS[spec.backbone.name].with_decoder(bare), resolution=64, seed=None)
    assert cost(graph).parameters == whole
    if pyramid is not None:
        found, _ = parts(graph)
        assert (found["pyramid"], found[CLASS], found[BOX]) == (pyramid, classes, boxes)


@pytest.mark.parametrize("name", ["d0", "det-lite0"])
def test_a_class_costs_its_weights_at_nine_anchors(name):
    costs = [
        cost(build_graph(find_spec(name), classes=classes, resolution=64, seed=None)).parameters
        for classes in (1, 2)
    ]
    assert costs[1] - costs[0] == 9 * (find_spec(name).decoder.channels + 1)


@pytest.mark.parametrize("side", [32, 64, 96, 104, 320, 384])
def test_anchors_and_outputs_are_as_many_at_every_size(side):
    spec = find_spec("det-lite0")
    graph = build_graph(spec, classes=2, resolution=side, seed=None)
    assert graph.output_shape == (spec.anchors.count(side, side), 6)


def test_operators_are_as_many_as_in_googles_own_int8_file():
    # detection.md 1.10: 102 CONV, 80 DWCONV, 42 ADD, 14 MAX_POOL, 12 RESIZE, 10 RESHAPE, 2 CONCAT.
    graph = build_graph(find_spec("det-lite0"), classes=5, seed=None)
    found = {}
    for node in graph.nodes:
        found[type(node).__name__] = found.get(type(node).__name__, 0) + 1
    assert found == {
        "Conv2D": 102,
        "DepthwiseConv2D": 80,
        "Add": 42,
        "MaxPool2D": 14,
        "Resize": 12,
        "Rows": 10,
        "Concat": 2,
    }


def test_a_row_of_the_catalog_knows_what_a_file_holds_of_shared_weights():
    (row,) = list_models("det-lite0")
    assert (row["parameters"], row["classes"], row["resolution"]) == (3_243_470, 90, 320)
    assert row["coco_ap"] == (26.41, 26.1)
    assert row["decoder"]["anchors"]["scale"] == 3
    folded = fold_batch_norm(build_graph(find_spec("det-lite0"), resolution=64))
    kernels = sum(array.size for name, array in folded.weights.items() if "kernel" in name)
    biases = sum(array.size for name, array in folded.weights.items() if "bias" in name)
    assert row["int8_bytes"] == kernels + 4 * biases
    assert int8_size(folded)[0] == biases
    assert all(row["name"] not in PUBLISHED for row in list_models())
