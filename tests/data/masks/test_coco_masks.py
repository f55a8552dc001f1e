"""Masks drawn from COCO's JSON: once, and as its tools draw them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data.masks.coco_masks import render
from edgekit.errors import UsageError

HEIGHT, WIDTH = 8, 12


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def shape(category: int, segmentation: Any, area: float, **more: Any) -> dict[str, Any]:
    found = {"image_id": 1, "category_id": category, "segmentation": segmentation, "area": area}
    return found | more


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, *annotations: dict[str, Any], names: tuple[str, ...] = ("a", "b")) -> Path:
    record = {
        "images": [
            {"id": 1, "file_name": "one.jpg", "height": HEIGHT, "width": WIDTH},
            {"id": 2, "file_name": "blank.jpg", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": annotations,
        "categories": [{"id": 9 - i, "name": name} for i, name in enumerate(reversed(names))],
    }
    path = folder / "file.json"
    path.write_text(json.dumps(record))
    return path


def mask(path: Path, kind: str, name: str = "one.jpg") -> np.ndarray:
    with Image.open(render(path, kind).masks[name]) as file:
        assert file.mode == "L"
        return np.array(file)


def test_polygons_are_objects_on_a_background_and_smaller_ones_in_front(tmp_path: Path) -> None:
    small, large = shape(8, box(2, 2, 5, 5), 9), shape(9, box(0, 0, 8, 8), 64)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:8, :8] = 2
    expected[2:5, 2:5] = 1
    for order in ((small, large), (large, small)):
        path = write(tmp_path, *order)
        assert render(path, "instances").labels == ("background", "a", "b")
        np.testing.assert_array_equal(mask(path, "instances"), expected)
    assert not mask(path, "instances", "blank.jpg").any()


def test_run_lengths_of_both_forms(tmp_path: Path) -> None:
    from faster_coco_eval.core import mask as coder

    where = np.zeros((HEIGHT, WIDTH), np.uint8)
    where[3:6, 4:9] = 1
    packed = coder.encode(np.asfortranarray(where))
    flat = where.T.ravel().tolist()
    counts, last = [0], 0
    for value in flat:
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    for runs in (
        {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()},
        {"size": [HEIGHT, WIDTH], "counts": counts},
    ):
        np.testing.assert_array_equal(mask(write(tmp_path, shape(8, runs, 15)), "other"), where)


def test_crowds_are_behind_all_others(tmp_path: Path) -> None:
    crowd = shape(8, box(2, 2, 5, 5), 9, iscrowd=1)
    found = mask(write(tmp_path, shape(9, box(0, 0, 8, 8), 64), crowd), "instances")
    assert (found[:8, :8] == 2).all()


def test_what_no_stuff_covers_is_of_no_class(tmp_path: Path) -> None:
    path = write(tmp_path, shape(8, box(0, 0, 4, 4), 16))
    assert render(path, "stuff").labels == ("a", "b")
    found = mask(path, "stuff")
    assert (found[:4, :4] == 0).all()
    assert (found[4:] == 255).all()


def test_a_category_named_background_is_it(tmp_path: Path) -> None:
    path = write(tmp_path, shape(8, box(0, 0, 4, 4), 16), names=("a", "background"))
    assert render(path, "other").labels == ("a", "background")
    assert mask(path, "other").tolist()[0] == [0] * 4 + [1] * 8


def test_panoptic_ids_are_red_green_and_blue(tmp_path: Path) -> None:
    segments = [{"id": 1 + 256 * 2 + 65536 * 3, "category_id": 8}, {"id": 7, "category_id": 9}]
    path = write(tmp_path, {"image_id": 1, "file_name": "one.png", "segments_info": segments})
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:4] = (1, 2, 3)
    pixels[4:6] = (7, 0, 0)
    (tmp_path / "file").mkdir()
    Image.fromarray(pixels).save(tmp_path / "file" / "one.png")
    rendered = render(path, "panoptic")
    assert rendered.labels == ("a", "b")
    assert list(rendered.masks) == ["one.jpg"]  # the other photo is not annotated
    assert mask(path, "panoptic")[:, 0].tolist() == [0] * 4 + [1] * 2 + [255] * 2


def test_masks_are_drawn_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = write(tmp_path, shape(8, box(0, 0, 4, 4), 16))
    first = render(path, "stuff", lambda *call: told.append(call))
    assert told == [("masks", 1, 2), ("masks", 2, 2)]
    assert render(path, "stuff", lambda *call: told.append(call)) == first
    assert len(told) == 2
    write(tmp_path, shape(8, box(0, 0, 4, 4), 16), shape(9, box(4, 4, 8, 8), 16))
    assert render(path, "stuff").masks != first.masks


BROKEN = {
    "no json": ("{", "cannot be read as COCO's JSON"),
    "a list": ("[]", "cannot be read as COCO's JSON"),
    "no images": ('{"categories": [], "annotations": []}', "cannot be read as COCO's JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_none_of_cocos_says_so_and_leaves_nothing(
    tmp_path: Path, cache: Path, case: str
) -> None:
    text, message = BROKEN[case]
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        render(path, "panoptic")
    assert caught.value.cause
    assert "annotations" in (caught.value.hint or "")
    assert not list((cache / "masks").iterdir())


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"segmentation": "no"}, "$.annotations[1].segmentation`"),
        ({"segmentation": {"size": [3], "counts": "1"}}, "$.annotations[1].segmentation.size`"),
        ({"category_id": "8"}, "Expected `int`, got `str` - at `$.annotations[1].category_id`"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], cause: str) -> None:
    right = shape(8, box(0, 0, 4, 4), 16)
    with pytest.raises(UsageError) as caught:
        render(write(tmp_path, right, right | changes), "other")
    assert cause in (caught.value.cause or "")


def test_a_photo_without_a_size_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, shape(8, box(0, 0, 4, 4), 16))
    path.write_text(path.read_text().replace('"height"', '"tall"', 1))
    with pytest.raises(UsageError) as caught:
        render(path, "other")
    assert caught.value.cause == "one.jpg has no height and width"


def test_a_panoptic_png_that_is_missing_is_named(tmp_path: Path) -> None:
    annotation = {"image_id": 1, "file_name": "one.png", "segments_info": []}
    with pytest.raises(UsageError, match="cannot be read as COCO's JSON") as caught:
        render(write(tmp_path, annotation), "panoptic")
    assert "one.png" in (caught.value.cause or "")


def test_an_unknown_category_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        render(write(tmp_path, shape(77, box(0, 0, 4, 4), 16)), "other")
    assert caught.value.cause == "it lacks 77"


def test_more_categories_than_a_byte_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, names=tuple(f"c{i}" for i in range(255)))
    with pytest.raises(UsageError, match="has 256 categories"):
        render(path, "other")
