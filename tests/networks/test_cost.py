"""Parameters to the last digit and MACs against the published tables."""

import pytest

from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.nodes import STATISTICS

# name, trainable parameters, moving statistics, million MACs. Parameters are the published
# assertions: torchvision and automl for B0 to B7 and V2, timm for B8, L2 and EdgeTPU, the builder
# test of tensorflow/tpu for Lite. None: not published.
TABLE = [
    ("b0", 5_288_548, 42_016, 386),
    ("b1", 7_794_184, 62_048, 687),
    ("b2", 9_109_994, 67_568, 994),
    ("b3", 12_233_232, 87_296, 1827),
    ("b4", 19_341_616, 125_200, 4394),
    ("b5", 30_389_784, 172_736, 10_266),
    ("b6", 43_040_704, 224_432, 19_068),
    ("b7", 66_347_960, 310_720, 37_746),
    ("lite0", 4_652_008, 42_016, 385),
    ("lite1", 5_416_680, 53_664, 600),
    ("lite2", 6_092_072, 58_096, 860),
    ("lite3", 8_197_096, 76_672, 1383),
    ("lite4", 13_006_568, 112_368, 2553),
    ("b8", 87_413_142, None, None),
    ("l2", 480_309_308, None, None),
    ("es", 5_438_392, 51_440, 1789),
    ("em", 6_899_496, 67_808, 3013),
    ("el", 10_589_712, 92_208, 7936),
    ("v2-b0", 7_139_704, 60_608, 718),
    ("v2-b1", 8_141_052, 71_072, 1197),
    ("v2-b2", 10_096_086, 82_288, 1698),
    ("v2-b3", 14_358_406, 109_216, 3012),
    ("v2-s", 21_458_488, 153_872, 8366),
    ("v2-m", 54_139_356, 292_032, 24_583),
    ("v2-l", 118_515_272, 512_576, 56_080),
    ("v2-xl", 208_119_808, 777_024, None),
]


@pytest.mark.parametrize(("name", "parameters", "statistics", "mega_macs"), TABLE)
def test_a_variant_costs_what_is_published(name, parameters, statistics, mega_macs):
    graph = build_graph(SPECS[name], seed=None)
    measured = cost(graph)
    assert measured.parameters == parameters
    if statistics is not None:
        moving = sum(a.size for n, a in graph.weights.items() if n.endswith(STATISTICS))
        assert moving == statistics
    if mega_macs is not None:
        assert round(measured.macs / 1e6) == pytest.approx(mega_macs, abs=1)


@pytest.mark.parametrize(
    ("name", "parameters"), [("es", 5_439_673), ("em", 6_900_777), ("el", 10_591_249)]
)
def test_the_released_edgetpu_models_have_a_background_class(name, parameters):
    graph = build_graph(SPECS[name], classes=1001, seed=None)
    assert cost(graph).parameters == parameters


def test_every_variant_stands_in_the_table():
    assert {row[0] for row in TABLE} == set(SPECS)


def test_macs_grow_with_the_area_of_the_input():
    # Sides that every stride divides, or SAME rounds up.
    small = cost(build_graph(SPECS["lite0"], resolution=128, seed=None))
    full = cost(build_graph(SPECS["lite0"], resolution=256, seed=None))
    assert full.macs / small.macs == pytest.approx(4, rel=0.01)
    assert full.parameters == small.parameters


def test_peak_activation_of_lite0_is_in_the_first_expansion():
    # Source and result of block 2a's expansion: 112x112x16 and 112x112x96.
    graph = build_graph(SPECS["lite0"], seed=None)
    assert cost(graph).peak_activation == 112 * 112 * 96 + 56 * 56 * 96
