"""Spaces as data: every pick makes a network that can be built, and the base is one of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.model_files import write_model
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.efficientnet.stages import StageSpec
from edgekit.search.study.objective import MACS, Objective
from edgekit.search.study.space import SPACES, find_space, scaled_near

OBJECTIVE = Objective(MACS, 20_000_000)
FREE = [kind for kind, row in SPACES.items() if row.needs is None]


def costed(spec, side=64):
    return cost(build_graph(spec, classes=10, resolution=side, seed=None))


OTHERS = ["mobilenet-v1", "mobilenet-v3-small", "mobilenet-v3-large", "resnet-18", "resnet-50"]


@pytest.mark.parametrize("base", ["b0", "lite0", "v2-b0", "es", *OTHERS])
@pytest.mark.parametrize("kind", FREE)
def test_the_base_is_a_network_of_its_space(kind, base):
    spec = scale_spec(find_spec(base), width=0.5)
    space = find_space(kind, spec, OBJECTIVE, 10)
    assert space.of_base() is not None
    picks = {**SPACES[kind].base_picks(space)}
    assert costed(space.spec(picks, "same")) == costed(spec)
    assert space.spec(picks, "same").name == "same"


@pytest.mark.parametrize("base", ["b0", "lite0", *OTHERS])
@pytest.mark.parametrize("kind", FREE)
def test_whatever_is_picked_can_be_built_and_lies_between_the_extremes(tmp_path, kind, base):
    space = find_space(kind, scale_spec(find_spec(base), width=1.2), OBJECTIVE, 10)
    rng = np.random.default_rng(0)
    least, most = (costed(space.spec(picks, "end"), None) for picks in space.extremes())
    seen = set()
    for _ in range(8):
        picks = {c.name: c.values[rng.integers(len(c.values))] for c in space.choices}
        spec = space.spec(picks, "picked")
        found = costed(spec, None)
        assert least.parameters <= found.parameters <= most.parameters
        assert all(str(StageSpec.parse(text)) == text for text in spec.stages)
        seen.add(spec)
    assert len(seen) > 4
    assert space.size > 300
    # A file of it is the same network.
    path = tmp_path / "found.toml"
    write_model(spec, path, base="b0")
    assert find_spec(str(path)) == spec


def test_a_choice_changes_its_stage_alone():
    space = find_space("mbconv", SPECS["b0"], OBJECTIVE, 10)
    own = space.of_base()
    before = [StageSpec.parse(text) for text in space.spec(own, "x").stages]
    for name, value, field in (
        ("stage3_kernel", 3, "kernel"),
        ("stage4_blocks", 2, "repeats"),
        ("stage2_fused", True, "fused"),
        ("stage5_se", 0.0, "se_ratio"),
        ("stage6_skip", False, "skip"),
        ("stage7_expand", 3, "expand"),
    ):
        after = [StageSpec.parse(t) for t in space.spec({**own, name: value}, "x").stages]
        (changed,) = [k for k, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert changed == int(name[5]) - 1
        assert getattr(after[changed], field) == value


def test_a_base_is_brought_near_a_cost():
    def macs(spec):
        return costed(spec).macs

    for wanted in (5e6, 20e6, 60e6):
        spec = scaled_near(SPECS["b0"], macs, wanted)
        assert abs(macs(spec) / wanted - 1) < 0.15
        assert spec.name.startswith("b0-w")


@pytest.mark.parametrize("name", SPECS)
def test_a_stage_is_written_as_it_is_read(name):
    for text in SPECS[name].stages:
        assert str(StageSpec.parse(text)) == text


def test_other_spaces_and_networks_are_refused():
    with pytest.raises(UsageError, match="unknown space 'mobile'"):
        find_space("mobile", SPECS["b0"], OBJECTIVE, 10)
    with pytest.raises(UsageError, match="is not what is searched for"):
        find_space("mbconv", find_spec("unet-lite0"), OBJECTIVE, 10)
    with pytest.raises(UsageError, match="laid out for macs, not for parameters") as caught:
        find_space("scaling", SPECS["b0"], Objective("parameters", 1_000_000), 10)
    assert "--macs" in caught.value.hint


@pytest.mark.parametrize("base", ["b0", "lite0"])
def test_ways_of_scaling_all_meet_the_cost_and_the_papers_is_their_base(base):
    spec = replace(scale_spec(SPECS[base], width=0.5), resolution=72)
    target = 2 * costed(spec, None).macs
    space = find_space("scaling", spec, Objective(MACS, target), 10)
    assert space.is_listed
    assert space.size > 10
    networks = [space.spec({"scaling": value}, "x") for value in space.choices[0].values]
    assert len(set(networks)) == space.size
    costs = [costed(one, None).macs / target for one in networks]
    assert all(abs(cost - 1) < 0.2 for cost in costs[1:])
    assert abs(costs[0] - 1) < 0.3
    paper = space.of_base()["scaling"]
    assert paper.startswith("alpha 1.2, beta 1.1, gamma 1.15, phi ")
    assert space.spec(space.of_base(), "x") == replace(
        scale_spec(spec, phi=float(paper.rpartition(" ")[2])), name="x"
    )
