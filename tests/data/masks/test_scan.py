"""Every photo and mask is read once; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mask_folders import SIZE, classes_of, write_mask, write_photo
from PIL import Image

from edgekit.data.masks.pairs import Pair, Pairs
from edgekit.data.masks.reading import PLAIN
from edgekit.data.masks.scan import ScannedPairs, scan_pairs
from edgekit.errors import UsageError

SIDEWAYS, UPSIDE_DOWN = 6, 3  # of the EXIF orientation


def pair(root: Path, number: int, values: np.ndarray | None = None, **options: object) -> Pair:
    photo = write_photo(root / "images" / f"{number:02d}.jpg", number, **options)  # type: ignore[arg-type]
    values = classes_of(number) if values is None else values
    mask = write_mask(root / "masks" / f"{number:02d}.png", values)
    return Pair(photo, mask, f"images/{photo.name}")


def scan(root: Path, *more: Pair, count: int = 40) -> ScannedPairs:
    """Scans sound pairs and some others."""
    pairs = (*(pair(root, number) for number in range(50, 50 + count)), *more)
    return scan_pairs(Pairs(root, pairs), PLAIN, "--data")


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def test_sound_pairs_give_photos_with_masks(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    pairs = Pairs(tmp_path, tuple(pair(tmp_path, number) for number in range(5)))
    scanned = scan_pairs(pairs, PLAIN, "--data", lambda *call: told.append(call))
    assert told == [("scan", done, 5) for done in range(1, 6)]
    assert not scanned.unreadable
    assert not scanned.warnings
    assert all(one.classes == {0, 1, 2} for one in scanned.usable)
    photos = scanned.photos(PLAIN)
    assert len(set(photos.hashes)) == 5
    assert len({mask.sha256 for mask in photos.masks}) == 3
    np.testing.assert_array_equal(np.array(photos.label(3)), classes_of(3))


def test_few_damaged_or_of_other_sizes_are_left_out_and_named(tmp_path: Path) -> None:
    photo, mask = pair(tmp_path, 0), pair(tmp_path, 1)
    photo.photo.write_bytes(photo.photo.read_bytes()[:200])
    mask.mask.write_bytes(b"nothing")
    scanned = scan(tmp_path, photo, mask, pair(tmp_path, 2, classes_of(2, size=(9, 8))), count=60)
    assert len(scanned.usable) == 60
    reasons = dict(scanned.unreadable)
    assert "truncated or damaged" in reasons["images/00.jpg"]
    assert "its mask 01.png: not a JPEG" in reasons["images/01.jpg"]
    assert reasons["images/02.jpg"] == "it has 12 x 8 pixels, its mask 9 x 8"
    assert "3 photos with masks cannot be used and are left out: images/0" in scanned.warnings[0]


def test_many_that_cannot_be_used_are_an_error(tmp_path: Path) -> None:
    bad = [pair(tmp_path, number, classes_of(0, size=(9, 8))) for number in range(4)]
    message = "4 of the 44 photos with masks of --data .* cannot be used, more than 5%"
    with pytest.raises(UsageError, match=message) as caught:
        scan(tmp_path, *bad)
    assert "its mask 9 x 8; " in (caught.value.cause or "")
    assert (caught.value.cause or "").endswith("; …")


def test_a_mask_of_colors_names_its_file(tmp_path: Path) -> None:
    one = pair(tmp_path, 0)
    Image.new("RGB", SIZE, (1, 200, 3)).save(one.mask)
    with pytest.raises(UsageError, match=r"the mask .*00\.png cannot be used") as caught:
        scan(tmp_path, one)
    assert "an RGB mask: its values are colours, not classes" in (caught.value.cause or "")
    assert "classes.txt" in (caught.value.hint or "")


def test_masks_without_any_class_are_left_out(tmp_path: Path) -> None:
    scanned = scan(tmp_path, pair(tmp_path, 0, np.full((8, 12), 255)))
    assert len(scanned.usable) == 40
    assert scanned.warnings == ("1 masks have no class anywhere and are left out: images/00.jpg",)


def test_white_on_black_is_not_taken_for_no_class(tmp_path: Path) -> None:
    pairs = [pair(tmp_path, i, np.where(classes_of(i) == 1, 255, 0)) for i in range(12)]
    with pytest.raises(UsageError, match="have one class only: 0") as caught:
        scan_pairs(Pairs(tmp_path, tuple(pairs)), PLAIN, "--data")
    assert "255: object" in (caught.value.hint or "")


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_mask_of_a_sideways_photo_is_turned_if_it_is_as_stored(
    tmp_path: Path, is_stored: bool
) -> None:
    upright = classes_of(0, size=SIZE[::-1])
    mask = np.rot90(upright) if is_stored else upright  # 6: turned right by a quarter to be upright
    scanned = scan(tmp_path, pair(tmp_path, 0, mask, exif=exif(SIDEWAYS)))
    photos = scanned.photos(PLAIN).subset([len(scanned.usable) - 1])
    assert photos.names == ("images/00.jpg",)
    assert photos.load(0).size == photos.label(0).size == SIZE[::-1]
    np.testing.assert_array_equal(np.array(photos.label(0)), upright)
    assert not scanned.warnings


def test_where_sizes_do_not_say_how_a_mask_is_turned_it_is_said(tmp_path: Path) -> None:
    scanned = scan(tmp_path, pair(tmp_path, 0, exif=exif(UPSIDE_DOWN)))
    photos = scanned.photos(PLAIN)
    np.testing.assert_array_equal(np.array(photos.label(len(photos) - 1)), classes_of(0))
    assert "1 photos are stored turned" in scanned.warnings[0]
