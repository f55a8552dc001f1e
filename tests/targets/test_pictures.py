"""Where pictures of photos are written."""

import pytest

from edgekit.errors import UsageError
from edgekit.targets.pictures import ANY, choose_places


def test_a_drawing_may_be_a_jpeg_and_a_mask_may_not(tmp_path):
    target = tmp_path / "boxes.jpg"
    assert choose_places(["street.jpg"], target, "-boxes.png", ANY) == [target]
    with pytest.raises(UsageError, match="no name for a picture") as error:
        choose_places(["street.jpg"], target, "-segments.png")
    assert error.value.hint == "end it in .png"


def test_a_folder_has_a_picture_for_each_photo(tmp_path):
    photos = ["a/one.jpg", "b/two.png"]
    found = choose_places(photos, tmp_path, "-boxes.png")
    assert found == [tmp_path / "one-boxes.png", tmp_path / "two-boxes.png"]
    with pytest.raises(UsageError, match="no folder"):
        choose_places(photos, tmp_path / "x.png", "-boxes.png")
