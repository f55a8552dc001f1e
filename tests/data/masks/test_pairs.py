"""Photos and masks find each other by name; what has no counterpart is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.data.masks.layouts import Part
from edgekit.data.masks.pairs import pair_up
from edgekit.errors import UsageError

ROOT = Path("/data")


def part(photos: list[str], masks: list[str], is_chosen: bool = False) -> Part:
    return Part(
        {name: ROOT / "images" / f"{name}.jpg" for name in photos},
        {name: ROOT / "masks" / f"{name}.png" for name in masks},
        is_chosen,
    )


MANY = [f"p{i:02d}" for i in range(40)]


def test_pairs_are_sorted_and_named_after_the_photo() -> None:
    pairs = pair_up(part(["b", "a/x"], ["a/x", "b"]), ROOT, "--data").pairs
    assert [pair.name for pair in pairs] == ["images/a/x.jpg", "images/b.jpg"]
    assert pairs[0].mask == ROOT / "masks" / "a" / "x.png"


@pytest.mark.parametrize("suffix", ["_mask", "_L", "_labelTrainIds", "-mask"])
def test_masks_may_have_a_word_after_the_name(suffix: str) -> None:
    pairs = pair_up(part(MANY, [name + suffix for name in MANY]), ROOT, "--data")
    assert len(pairs.pairs) == 40
    assert pairs.pairs[3].mask.stem == f"p03{suffix}"
    assert not pairs.warnings


def test_few_without_a_counterpart_are_named_and_left_out() -> None:
    pairs = pair_up(part([*MANY, "lone"], [*MANY, "x", "y"]), ROOT, "--data")
    assert len(pairs.pairs) == 40
    assert pairs.warnings == (
        "1 photos have no mask in /data and are left out: images/lone.jpg",
        "2 masks have no photo in /data and are left out: masks/x.png, masks/y.png",
    )


@pytest.mark.parametrize(
    ("photos", "masks", "what"),
    [(MANY, MANY[:37], "3 photos have no mask"), (MANY[:36], MANY, "4 masks have no photo")],
)
def test_many_without_a_counterpart_are_an_error(
    photos: list[str], masks: list[str], what: str
) -> None:
    with pytest.raises(UsageError, match=f"{what} in --val /data, more than 5%") as caught:
        pair_up(part(photos, masks), ROOT, "--val")
    assert "p37" in (caught.value.cause or "") or "p36" in (caught.value.cause or "")
    assert caught.value.hint


def test_masks_that_no_list_names_are_no_mistake() -> None:
    assert not pair_up(part(MANY[:20], MANY, is_chosen=True), ROOT, "--data").warnings


def test_no_pair_at_all_shows_one_of_each() -> None:
    with pytest.raises(UsageError, match="no photo of --data /data has a mask") as caught:
        pair_up(part(["street1"], ["mask1"]), ROOT, "--data")
    assert caught.value.cause == "it has 1 photos and 1 masks, such as street1.jpg and mask1.png"
