"""Photos laid out as folders."""

import pytest

from edgekit.data.hub.tree import Tree, photos_of
from edgekit.errors import UsageError


@pytest.mark.parametrize("split", ["train", "a:b?"])
def test_a_split_is_found_where_it_was_laid_out(tmp_path, split):
    Tree(tmp_path).write(split, "cat", ".jpg", b"a photo")
    (photo,) = photos_of(tmp_path, split).glob("cat/*.jpg")
    assert photo.read_bytes() == b"a photo"
    assert photo.parent.parent.parent == photos_of(tmp_path, None)


def test_classes_whose_folders_would_be_one_are_refused(tmp_path):
    tree = Tree(tmp_path)
    tree.write("train", "cat/dog", ".jpg", b"1")
    with pytest.raises(UsageError, match="would be one folder"):
        tree.write("train", "cat?dog", ".jpg", b"2")
