"""Compound scaling: the rule, its limits, names that tell networks apart, and the search."""

import math

import pytest

from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.scaling import scale_spec, search
from edgekit.networks.efficientnet.spec import SPECS

B0, B3, LITE0 = SPECS["b0"], SPECS["b3"], SPECS["lite0"]


def test_phi_scales_all_three_by_the_papers_rule():
    scaled = scale_spec(B0, phi=2)
    assert scaled.width == pytest.approx(1.1**2)
    assert scaled.depth == pytest.approx(1.2**2)
    assert scaled.resolution == 296  # 224 * 1.15**2 = 296.2
    assert scaled.name == "b0-phi2"


def test_a_scaled_network_for_segmentation_has_a_scaled_backbone_and_its_own_decoder():
    spec = find_spec("unet-lite0")
    scaled = scale_spec(spec, width=0.5)
    assert (scaled.name, scaled.decoder) == ("unet-lite0-w0.5", spec.decoder)
    assert scaled.backbone == scale_spec(LITE0, width=0.5)
    # A budget near the decoder's own cost leads to coefficients at the ends of their range.
    found = search(spec, 300_000_000, step=0.25, tolerance=0.5)
    assert abs(found[0].macs - 300_000_000) < 15_000_000


def test_phi_multiplies_what_the_variant_has():
    scaled = scale_spec(B3, phi=-1, alpha=1.4, beta=1.25, gamma=1.0)
    assert scaled.width == pytest.approx(1.2 / 1.25)
    assert scaled.depth == pytest.approx(1.4 / 1.4)
    assert scaled.resolution == 300  # not a multiple of 8, and not touched


@pytest.mark.parametrize(
    ("spec", "given", "width", "depth"),
    [
        (B0, {"width": 0.5, "depth": 0.8}, 0.5, 0.8),
        (B0, {"width": 0.5}, 0.5, 1.0),
        (B3, {"width": 0.5, "depth": 2}, 0.6, 2.8),
        (B3, {"depth": 0.5}, 1.2, 0.7),
    ],
)
def test_width_and_depth_are_relative_and_leave_the_resolution(spec, given, width, depth):
    scaled = scale_spec(spec, **given)
    assert (scaled.width, scaled.depth) == (width, depth)
    assert scaled.resolution == spec.resolution


def test_half_the_width_has_half_the_channels():
    graph = build_graph(scale_spec(B0, width=0.5), seed=None)
    assert graph.shapes["stem"] == (112, 112, 16)
    assert graph.shapes["head"] == (7, 7, 640)


def test_depth_does_not_grow_by_a_rounding_error():
    # 1.1 * 3 is 3.3000000000000003, and a stage of ten would become 34 blocks deep.
    assert scale_spec(SPECS["b1"], depth=3).depth == 3.3


@pytest.mark.parametrize(
    ("phi", "gamma", "resolution"),
    [(1, 1.15, 256), (1, 1.25, 280), (-1, 1.15, 192), (-10, 1.3, 32), (0.5, 1.15, 240)],
)
def test_a_scaled_resolution_is_a_multiple_of_eight_and_not_tiny(phi, gamma, resolution):
    assert scale_spec(B0, phi=phi, gamma=gamma).resolution == resolution


@pytest.mark.parametrize(
    "given", [{}, {"phi": 0}, {"phi": -0.0}, {"phi": 0, "alpha": 1.5}, {"width": 1, "depth": 1.0}]
)
def test_what_changes_nothing_is_the_spec_itself(given):
    assert scale_spec(B3, **given) is B3


def test_different_networks_have_different_names():
    given = [
        {"phi": 0.5},
        {"phi": -0.5},
        {"phi": 0.1 + 0.2},
        {"phi": 0.3},
        {"phi": 0.5, "alpha": 1.3},
        {"phi": 0.5, "beta": 1.3},
        {"phi": 0.5, "gamma": 1.3},
        {"width": 0.5},
        {"depth": 0.5},
        {"width": 0.5, "depth": 0.8},
        {"width": 0.5, "depth": 0.80001},
    ]
    names = [scale_spec(B0, **one).name for one in given]
    assert len(set(names)) == len(given)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for name in names)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"phi": 0.5}, "b0-phi0.5"),
        ({"phi": 1}, "b0-phi1"),
        ({"phi": 1.0, "alpha": 1.2}, "b0-phi1"),
        ({"phi": -0.95, "gamma": 1.1}, "b0-phi-0.95-a1.2-b1.1-g1.1"),
        ({"width": 0.5, "depth": 0.8}, "b0-w0.5-d0.8"),
        ({"depth": 2}, "b0-d2"),
    ],
)
def test_names_are_stable(given, name):
    assert scale_spec(B0, **given).name == name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"phi": 1, "width": 0.5}, "phi already sets"),
        ({"phi": 1, "depth": 0.5}, "phi already sets"),
        ({"alpha": 1.3}, "without phi"),
        ({"width": 0.5, "gamma": 1.3}, "without phi"),
        ({"phi": 1, "alpha": 0.9}, "alpha must be from 1"),
        ({"phi": 1, "beta": 0}, "beta must be from 1"),
        ({"phi": 1, "gamma": -1.15}, "gamma must be from 1"),
        ({"phi": 1, "gamma": math.inf}, "gamma must be from 1"),
        ({"phi": math.nan}, "phi must be from"),
        ({"phi": math.inf}, "phi must be from"),
        ({"phi": 11}, "phi must be from -10 to 10"),
        ({"phi": 1000.0, "alpha": 4.0}, "phi must be from"),
        ({"width": 0}, "width must be from 0.1"),
        ({"width": -1}, "width must be"),
        ({"depth": 11}, "depth must be from 0.1 to 10"),
        ({"depth": math.nan}, "depth must be"),
        ({"phi": 10, "alpha": 4}, "scaled depth"),
        ({"phi": -10, "beta": 2}, "scaled width"),
        ({"phi": 9, "alpha": 1, "beta": 1, "gamma": 1.5}, "scaled resolution"),
    ],
)
def test_what_cannot_be_scaled_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        scale_spec(B0, **given)


@pytest.fixture(scope="module")
def found():
    return search(B0, 200_000_000, step=0.1)


def test_candidates_are_what_the_cost_model_says(found):
    for candidate in found[::5]:
        spec = scale_spec(
            B0,
            phi=candidate.phi,
            alpha=candidate.alpha,
            beta=candidate.beta,
            gamma=candidate.gamma,
        )
        measured = cost(build_graph(spec, seed=None))
        assert spec.name == candidate.name
        assert (spec.width, spec.depth, spec.resolution) == (
            candidate.width,
            candidate.depth,
            candidate.resolution,
        )
        assert measured.macs == candidate.macs
        assert measured.parameters == candidate.parameters
        assert measured.peak_activation == candidate.peak_activation


def test_no_other_phi_meets_the_budget_better(found):
    best = found[len(found) // 2]
    for part in range(-3000, 1000, 100):
        spec = scale_spec(B0, phi=part / 1000, alpha=best.alpha, beta=best.beta, gamma=best.gamma)
        other = cost(build_graph(spec, seed=None)).macs
        assert abs(best.macs - 200_000_000) <= abs(other - 200_000_000)


def test_the_nearest_comes_first_and_is_near(found):
    off = [abs(c.macs - 200_000_000) for c in found]
    assert off == sorted(off)
    assert off[0] < 0.01 * 200_000_000


def test_the_grid_is_the_papers(found):
    for c in found:
        assert min(c.alpha, c.beta, c.gamma) >= 1
        assert abs(c.alpha * c.beta**2 * c.gamma**2 - 2) <= 0.1 + 1e-6
    # A grid of tenths lacks 1.15, and the paper's own stands there all the same.
    (paper,) = [c for c in found if c.paper]
    assert (paper.alpha, paper.beta, paper.gamma) == (1.2, 1.1, 1.15)
    # The paper's constraint, at its corners: only depth, only width, only pixels.
    wide = search(B0, 200_000_000, step=0.1, tolerance=0.0)
    assert {(c.alpha, c.beta, c.gamma) for c in wide} == {(1.2, 1.1, 1.15), (2.0, 1.0, 1.0)}


def test_every_network_is_listed_once(found):
    assert len({(c.macs, c.parameters, c.resolution) for c in found}) == len(found)


def test_a_budget_above_the_base_grows_it():
    found = search(LITE0, 800_000_000, step=0.25)
    assert all(c.phi > 0 for c in found)
    assert found[0].macs == pytest.approx(800_000_000, rel=0.02)


def test_the_budget_of_the_base_is_the_base():
    assert search(B0, cost(build_graph(B0, seed=None)).macs, step=0.25)[0].name == "b0"


@pytest.mark.parametrize(
    ("budget", "given", "words"),
    [
        (0, {}, "at least 1"),
        (-5, {}, "at least 1"),
        (1000, {}, "cannot be scaled"),
        (200_000_000, {"step": 0}, "step"),
        (200_000_000, {"step": 0.001}, "step"),
        (200_000_000, {"step": math.nan}, "step"),
        (200_000_000, {"tolerance": -1}, "tolerance"),
        (200_000_000, {"tolerance": 1}, "tolerance"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(budget, given, words):
    with pytest.raises(UsageError, match=words):
        search(B0, budget, **given)
