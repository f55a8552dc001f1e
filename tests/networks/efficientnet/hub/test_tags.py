"""The catalogue of timm's tags: complete, consistent, and nothing in it is made up."""

import importlib.util
import re
from pathlib import Path

import pytest
from prerequisites import skip_without

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.hub.tags import (
    PERMISSIVE,
    all_tags,
    best_tag,
    find_tag,
    tags_of,
    why_best,
)
from edgekit.networks.efficientnet.spec import SPECS

TAGS = [find_tag(name) for name in all_tags()]


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag.tag)
def test_rows_are_complete_and_consistent(tag):
    assert find_spec(tag.tag).name == tag.model
    assert tag.repository == f"timm/{tag.tag}"
    assert tag.licence in PERMISSIVE
    assert tag.training
    assert "ImageNet" in tag.licence_note
    assert (tag.trainer == "timm") == tag.tag.startswith("efficientnet")
    assert (tag.trainer == "noisy-student") == (".ns_jft_" in tag.tag)
    assert bool(tag.top1) == (tag.classes == 1000)  # no other classes have a figure
    assert all(60 < percent < 90 for _, percent in tag.top1)
    if tag.top1:
        assert tag.resolution in [pixels for pixels, _ in tag.top1]


def test_every_variant_has_a_tag():
    assert {tag.model for tag in TAGS} == set(SPECS)
    assert len(TAGS) == 74


def test_the_figure_is_at_an_input_that_is_no_larger_than_the_variants():
    assert find_tag("efficientnet_b0.ra4_e3600_r224_in1k").figure == (224, 78.568)
    assert find_tag("efficientnet_b1.ft_in1k").figure == (224, 77.592)  # of 224 and 256, at 240
    assert find_tag("tf_efficientnet_lite4.in1k").figure == (380, 81.54)  # there is no smaller one
    assert find_tag("tf_efficientnetv2_s.in21k").figure is None


def test_tags_are_in_the_order_of_their_accuracy_with_the_unknown_last():
    names = [tag.tag for tag in tags_of("v2-s")]
    assert names == [f"tf_efficientnetv2_s.{one}" for one in ("in21k_ft_in1k", "in1k", "in21k")]
    assert tags_of("b9") == []
    assert find_tag("efficientnet_b9.in1k") is None


def test_the_best_says_what_it_leaves_to_the_user():
    text = why_best(best_tag("b0"))
    for part in ("78.68 % at 224 px", "the best of 6", "JFT", "apache-2.0", "yours to judge"):
        assert part in text
    with pytest.raises(UsageError, match="no weights of b9 on the hub"):
        best_tag("b9")


def test_rows_say_what_the_installed_timm_says():
    """Read, not imported: timm wants torchvision."""
    found = importlib.util.find_spec("timm")
    if found is None:
        skip_without("timm")
    text = (Path(found.origin).parent / "models" / "efficientnet.py").read_text("utf-8")
    for tag in TAGS:
        row = re.search(rf"'{re.escape(tag.tag)}': _cfg\((.*?)\),?\s*\n\s*['}}]", text, re.DOTALL)[
            1
        ]
        assert "hf_hub_id='timm/'" in row
        assert "license" not in row  # the default of the family
        size = re.search(r"(?<!test_)input_size=\(3, (\d+)", row)
        assert int(size[1] if size else 224) == tag.resolution
        classes = re.search(r"num_classes=(\d+)", row)
        assert int(classes[1] if classes else 1000) == tag.classes
