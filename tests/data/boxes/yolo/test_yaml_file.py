"""The few keys of a data.yaml that are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from box_folders import write_text

from edgekit.data.boxes.yolo.yaml_file import YoloYaml, read_yolo_yaml
from edgekit.errors import UsageError

NAMES = ("cat", "traffic light", "it's")
FORMS = {
    "list": "names: ['cat', \"traffic light\", 'it''s']",
    "list of several lines": 'names: [cat,  # a comment\n  traffic light,\n  "it\'s",\n]',
    "entries": "names:\n- cat\n- 'traffic light'\n- it's\n",
    "indented entries": "names:\n  - cat # '\n  - traffic light\n\n  - it's",
    "table": "names:\n  0: cat\n  1: traffic light\n  2: it's\n",
    "table in braces": "names: {0: cat, 1: traffic light, '2': \"it's\"}",
    "table out of order": "names:\n  2: it's\n  0: cat\n  1: traffic light",
}


def read(tmp_path: Path, text: str) -> YoloYaml:
    return read_yolo_yaml(write_text(tmp_path / "data.yaml", text))


@pytest.mark.parametrize("form", FORMS)
def test_names_in_every_form(form: str, tmp_path: Path) -> None:
    more = "# names: [no]\nnc: 3\nroboflow:\n  names: x\n  license: y\n"
    assert read(tmp_path, more + FORMS[form]).names == NAMES
    assert read(tmp_path, FORMS[form] + "\n" + more).names == NAMES


def test_folders_and_lists_of_photos(tmp_path: Path) -> None:
    text = """
path: ../datasets/coco8  # the root
train: images/train
valid:
  - images/val
  - more#2
test:
names: [a]
download: |
  import x
  y: 5
"""
    table = read(tmp_path, text)
    assert table.path == "../datasets/coco8"
    assert table.photos == {"train": ("images/train",), "val": ("images/val", "more#2")}
    assert read(tmp_path, "train: null\nval: 'a: b'\nnames: [a]").photos == {"val": ("a: b",)}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("train: images", "it has no list of names"),
        ("names: cat", "it has no list of names"),
        ("names: []", "it has no list of names"),
        ("nc: 2\nnames: [a, b", "line 2: names: it does not end"),
        ("names: [a, [b]]", "line 1: names: "),
        ("names:\n  0: a\n  2: b", "line 1: names: classes are not numbered 0, 1, 2, …"),
        ("names:\n  one: a", "line 1: names: invalid literal"),
        ("names:\n  one", "line 1: names: 'one' is neither an entry of a list nor of a table"),
    ],
)
def test_another_form_is_named(text: str, cause: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.yaml cannot be used") as caught:
        read(tmp_path, text)
    assert cause in (caught.value.cause or "")
    assert caught.value.hint
