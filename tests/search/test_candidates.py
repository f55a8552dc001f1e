from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.converters.tflite.untrained import write_untrained
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.search.candidates import FIRST, SMALLER, Candidate, list_candidates


def test_the_likelier_come_first_and_the_smaller_before_the_larger():
    found = list_candidates()
    assert {one.variant for one in found} == set(SPECS)
    split = next(place for place, one in enumerate(found) if one.variant not in FIRST)
    assert all(one.variant not in FIRST for one in found[split:])
    for part in (found[:split], found[split:]):
        macs = [one.cost.macs for one in part]
        assert macs == sorted(macs)


def test_by_default_a_variant_is_tried_at_its_own_size_and_smaller_ones():
    found = list_candidates(["lite0"])
    assert {one.resolution for one in found} == {224, *SMALLER}
    assert all(one.width == 1 for one in found)


def test_what_is_asked_for_is_tried_once():
    found = list_candidates(["lite0", "lite0"], [96, 96], [0.5, 1])
    assert {(one.width, one.resolution) for one in found} == {(0.5, 96), (1.0, 96)}
    assert len(found) == 2


def test_accuracy_is_published_of_a_variant_as_it_is_alone():
    (own,) = list_candidates(["lite0"], [224])
    assert own.top1 == pytest.approx(74.94)
    assert own.drop == pytest.approx(0.04)
    (smaller,) = list_candidates(["lite0"], [160])
    assert smaller.top1 is None
    (thinner,) = list_candidates(["lite0"], [224], [0.5])
    assert (thinner.top1, thinner.spec.name) == (None, "lite0-w0.5")


def test_it_names_the_command_that_builds_it():
    (one,) = list_candidates(["b0"], [160], [0.5])
    assert one.words() == [
        *("edgekit", "build", "b0", "--data", "PHOTOS"),
        *("--width", "0.5", "--resolution", "160"),
    ]
    (own,) = list_candidates(["b0"], [224])
    assert own.words()[3:] == ["--data", "PHOTOS"]


def test_larger_is_larger_in_everything():
    small, large = Candidate("b0", 1.0, 128, 10), Candidate("b1", 1.0, 128, 10)
    assert large.is_larger(small)
    assert not small.is_larger(large)
    assert large.is_alike(small)
    assert not large.is_alike(Candidate("lite0", 1.0, 128, 10))


def test_the_size_of_a_file_is_known_before_it_is_written():
    one = Candidate("lite0", 0.5, 64, 10)
    contents = write_untrained(one.spec, one.resolution, classes=one.classes)
    assert one.file_bytes == pytest.approx(len(contents), rel=0.05)


@pytest.mark.parametrize("side", [0, 31, 4096])
def test_a_resolution_out_of_range_is_refused(side):
    with pytest.raises(UsageError, match="from 32 to 2048"):
        list_candidates(["b0"], [side])


def test_networks_for_segmentation_are_not_chosen_from():
    with pytest.raises(UsageError, match="unet-lite0 is not among") as caught:
        list_candidates(["lite0", "unet-lite0"])
    assert caught.value.hint == "its backbone, lite0"


def test_an_unknown_variant_is_refused():
    with pytest.raises(UsageError, match="lite9"):
        list_candidates(["lite9"])


def test_a_candidate_is_a_value():
    one = Candidate("b0", 1.0, 128, 10)
    assert one == replace(one)
