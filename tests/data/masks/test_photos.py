"""Photos with masks are served by index, and read back from their record without a scan."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mask_folders import classes_of, write_mask, write_photo
from PIL import Image

from edgekit.data.masks.photos import MaskedPhotos, MaskFile
from edgekit.data.masks.reading import MaskFormat
from edgekit.data.splits import photos_from_dict
from edgekit.errors import UsageError


@pytest.fixture
def photos(tmp_path: Path) -> MaskedPhotos:
    """Three photos with masks; the second mask is to be turned."""
    places = [write_photo(tmp_path / "photos" / f"é{i}.png", i) for i in range(3)]
    masks = [write_mask(tmp_path / "masks" / f"é{i}.png", classes_of(i)) for i in range(3)]
    turns = (None, Image.Transpose.ROTATE_90, None)
    return MaskedPhotos(
        places=tuple(places),
        names=tuple(path.name for path in places),
        labels=np.full(3, -1, np.int64),
        hashes=("a", "b", "c"),
        masks=tuple(MaskFile(p, f"m{i}", turns[i]) for i, p in enumerate(masks)),
        form=MaskFormat(((0, 2), (1, 1), (2, 0))),
    )


def test_a_label_is_the_mask_in_classes_and_upright(photos: MaskedPhotos) -> None:
    expected = np.array([2, 1, 0])[np.where(classes_of(0) == 255, 0, classes_of(0))]
    expected[:, 0] = 255
    np.testing.assert_array_equal(np.array(photos.label(0)), expected)
    assert photos.label(0).size == photos.load(0).size
    assert photos.label(1).size == photos.load(1).size[::-1]


def test_subset_and_record_keep_photos_and_masks_in_step(photos: MaskedPhotos) -> None:
    part = photos.subset([2, 1])
    read = photos_from_dict(json.loads(json.dumps(part.to_dict())))
    assert isinstance(read, MaskedPhotos)
    assert (read.names, read.masks) == (part.names, part.masks)
    assert read.digest() == part.digest()
    for index, original in enumerate((2, 1)):
        assert read.label(index).tobytes() == photos.label(original).tobytes()
        assert read.load(index).tobytes() == photos.load(original).tobytes()
    assert read.labels.tolist() == [-1, -1]


def test_a_digest_is_of_photos_masks_and_classes(photos: MaskedPhotos) -> None:
    first = photos.masks[0]
    others = [
        replace(photos, hashes=("x", "b", "c")),
        replace(photos, form=MaskFormat()),
        *(
            replace(photos, masks=(mask, *photos.masks[1:]))
            for mask in (replace(first, sha256="x"), replace(first, turn=Image.Transpose.ROTATE_90))
        ),
    ]
    digests = {one.digest() for one in (photos, *others)}
    assert len(digests) == 5


def test_a_mask_that_vanished_or_was_damaged_says_so(photos: MaskedPhotos) -> None:
    photos.masks[0].path.write_bytes(b"")
    os.unlink(photos.masks[1].path)
    write_mask(photos.masks[2].path, np.full((8, 12), 9))
    for index, cause in enumerate(("the file is empty", "No such file", "the value 9")):
        with pytest.raises(UsageError, match="cannot be read any more") as caught:
            photos.label(index)
        assert str(photos.masks[index].path) in caught.value.message
        assert cause in (caught.value.cause or "")
