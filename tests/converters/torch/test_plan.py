"""A plain module of a Graph: what is planned, and for which Graphs."""

import json

import pooled
import pytest
import small_graphs

from edgekit.converters.torch.plan import make_plan
from edgekit.errors import UsageError


def kinds(graph, **options):
    return [step["kind"] for step in make_plan(graph, **options).steps["steps"]]


def test_a_plan_is_json_and_its_arrays_have_the_names_of_a_state_dict():
    plan = make_plan(pooled.plain("lite0"))
    assert json.loads(json.dumps(plan.steps)) == plan.steps
    assert {"stem.weight", "stem.bias", "logits.weight", "logits.bias"} < plan.arrays.keys()


def test_a_stride_over_an_even_side_is_padded_in_front_of_the_layer():
    found = kinds(small_graphs.draw("Conv2D 3 stride 2 same 12x12", 0))
    assert found[0] == "pad"
    assert "pad" not in kinds(small_graphs.draw("Conv2D 3 stride 2 same 11x11", 0))


def test_zeros_that_no_window_reaches_are_left_to_the_layer():
    assert "pad" not in kinds(small_graphs.draw("Conv2D 3 stride 2 symmetric 12x12", 0))


def test_what_is_padded_is_rounded_behind_the_padding_too():
    graph = pooled.quantized(pooled.plain("lite0"))
    found = kinds(graph, fake_quantize=True)
    padded = [i for i, kind in enumerate(found) if kind == "pad"]
    assert padded
    assert all(found[i + 1] == "fake_quantize" for i in padded)


def test_a_float_network_cannot_be_rounded():
    with pytest.raises(UsageError, match="is not quantized"):
        make_plan(pooled.plain("lite0"), fake_quantize=True)
