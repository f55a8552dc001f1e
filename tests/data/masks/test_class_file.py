"""Files of classes: names, values, colours; what cannot be used says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.data.masks.class_file import find_classes, read_classes
from edgekit.data.masks.layouts import Classes
from edgekit.data.masks.reading import MaskFormat
from edgekit.errors import UsageError

NAMED = {
    "names": ("road\n\n# none\ncar\n", ()),
    "dos": ("\ufeffroad\r\ncar\r\n", ()),
    "numbered": ("0: road\n1: car\n", ((0, 0), (1, 1))),
    "values": ("0: road\n255: car\n", ((0, 0), (255, 1))),
    "values in any order": ("7,road\n3,car\n", ((7, 0), (3, 1))),
    "last": ("name,value\nroad,2\ncar,5\n", ((2, 0), (5, 1))),
    "void line": ("void\nroad\ncar\n", ((0, 255), (1, 0), (2, 1))),
    "roboflow": ("Pixel Value, Class\n0, road\n1, car\n", ((0, 0), (1, 1))),
}
COLORED = {
    "text": "road 128 64 128\ncar 64 0 128\nVoid 0 0 0\n",
    "csv": "name,r,g,b\nroad,128,64,128\ncar,64,0,128\nvoid,0,0,0\n",
    "colors first": "128 64 128\troad\n64 0 128\tcar\n0 0 0\tVoid\n",
    "cvat": "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:64,0,128::\nvoid:0,0,0::\n",
}


def write(folder: Path, text: str, name: str = "classes.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("case", NAMED)
def test_names_and_values(tmp_path: Path, case: str) -> None:
    text, table = NAMED[case]
    classes = read_classes(write(tmp_path, text))
    assert classes.labels == ("road", "car")
    assert classes.form == MaskFormat(table)


@pytest.mark.parametrize("case", COLORED)
def test_colors(tmp_path: Path, case: str) -> None:
    classes = read_classes(write(tmp_path, COLORED[case]))
    assert classes.labels == ("road", "car")
    assert classes.form == MaskFormat(((0x804080, 0), (0x400080, 1), (0, 255)), is_color=True)


REFUSED = {
    "empty": ("# nothing\n", "names no class"),
    "twice": ("road\ncar\nroad\n", "names road twice"),
    "mixed": ("road\n3: car\n", "lines of several kinds"),
    "one value": ("3: road\n3: car\n", "gives two classes one value"),
    "too many": ("\n".join(f"c{i}" for i in range(256)), "names 256 classes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_says_why(tmp_path: Path, case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_classes(write(tmp_path, text))
    assert caught.value.hint


def test_the_first_folder_with_a_file_counts(tmp_path: Path) -> None:
    inner = tmp_path / "train"
    inner.mkdir()
    write(tmp_path, "road\ncar\n", "labels.txt")
    assert find_classes(inner, tmp_path).labels == ("road", "car")
    write(inner, "sky\nsea\n")
    assert find_classes(inner, tmp_path).labels == ("sky", "sea")
    assert find_classes(tmp_path / "train" / "images") == Classes()
