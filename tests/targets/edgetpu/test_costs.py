from __future__ import annotations

import pytest

from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.targets.edgetpu.costs import advice, costs
from edgekit.targets.edgetpu.memory import CACHE_BYTES, SOFTMAX_TABLE


@pytest.mark.parametrize(
    ("name", "kib"),
    [("es", 6728), ("em", 8571)],  # on-chip and off-chip, as the real compiler printed them
)
def test_the_layout_of_a_variant_is_near_the_compilers(name, kib):
    """The compiled files end in a uint8 softmax, our networks in the logits."""
    found = costs(find_spec(name)).memory.parameter_bytes + SOFTMAX_TABLE
    assert found == pytest.approx(kib * 1024, rel=0.001)


@pytest.mark.parametrize("name", ["b0", "lite0", "lite1", "lite2", "es"])
def test_small_variants_fit_on_the_chip(name):
    memory = costs(find_spec(name)).memory
    assert memory.fits
    assert memory.parameter_bytes < CACHE_BYTES


@pytest.mark.parametrize("name", ["b1", "lite3", "lite4", "em", "el", "v2-b0", "v2-s"])
def test_larger_ones_are_streamed_in_part(name):
    memory = costs(find_spec(name)).memory
    assert 0 < memory.streamed_bytes < memory.parameter_bytes
    assert memory.on_chip_bytes + memory.streamed_bytes == memory.parameter_bytes


@pytest.mark.parametrize("name", SPECS)
def test_every_variant_can_be_prepared_at_its_own_size(name):
    found = costs(find_spec(name))
    assert found.problem is None
    assert (found.gates == 0) == (SPECS[name].activation != "swish")


def test_a_size_whose_means_cannot_be_split_is_named():
    assert "block1a_se_squeeze" in str(costs(find_spec("b0"), 2 * 211).problem)


def test_advice_compares_with_the_variants_that_were_made_for_it():
    lines = advice(find_spec("b0"), 224)
    assert [line.split(" at ")[0] for line in lines] == [
        "b0",
        "for comparison, lite0",
        "for comparison, es",
    ]
    assert "65 of them sigmoids" in lines[0]
    assert "5.1 ms on the USB stick, as published" in lines[2]


def test_a_variant_that_was_made_for_it_needs_no_comparison():
    assert len(advice(find_spec("lite0"), 224)) == 1


def test_streaming_has_its_price():
    assert "streamed: at least" in advice(find_spec("el"), 300)[0]
