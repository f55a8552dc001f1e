"""Files that name classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from box_folders import write_text

from edgekit.data.boxes.names import find_names
from edgekit.errors import UsageError


def test_the_first_folder_counts(tmp_path: Path) -> None:
    write_text(tmp_path / "b" / "labels.txt", "cat\n dog \n\n")
    assert find_names(tmp_path / "a", tmp_path / "b").labels == ("cat", "dog")
    path = write_text(tmp_path / "a" / "obj.names", '["x", "y"]')
    assert find_names(tmp_path / "a", tmp_path / "b") == (("x", "y"), str(path))
    assert find_names(tmp_path) == ((), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "names no class"), ("cat\ncat\n", "no file of labels can hold"), ("a\n\nb", "no file")],
)
def test_names_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", text)
    with pytest.raises(UsageError, match=message):
        find_names(tmp_path)
