"""Parameters to the last digit and MACs against the published tables."""

import pytest

from edgekit.architecture import build_graph
from edgekit.cost import cost, list_models
from edgekit.graph import STATISTICS
from edgekit.spec import SPECS

# name, trainable parameters, moving statistics, million MACs: the published assertions
# (torchvision and automl for B, the builder test of tensorflow/tpu for Lite)
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
]


@pytest.mark.parametrize(("name", "parameters", "statistics", "mega_macs"), TABLE)
def test_a_variant_costs_what_is_published(name, parameters, statistics, mega_macs):
    graph = build_graph(SPECS[name], seed=None)
    measured = cost(graph)
    assert measured.parameters == parameters
    assert round(measured.macs / 1e6) == mega_macs
    moving = sum(a.size for n, a in graph.weights.items() if n.endswith(STATISTICS))
    assert moving == statistics


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


def test_models_are_listed_as_dictionaries():
    (row,) = list_models("lite0")
    assert row["name"] == "lite0"
    assert row["parameters"] == 4_652_008
    assert row["resolution"] == 224
    assert len(list_models()) == len(SPECS)
