"""One XML file: what it says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from box_folders import voc_object, voc_xml, write_text

from edgekit.data.boxes.voc.xml_file import read_voc_xml
from edgekit.errors import UsageError

CAT = voc_object("cat", (2, 3, 12, 20))


def read(tmp_path: Path, text: str) -> object:
    return read_voc_xml(write_text(tmp_path / "a.xml", text))


def test_what_a_file_says(tmp_path: Path) -> None:
    objects = CAT + voc_object(" big dog ", (1.5, 0, 3, 4), "<difficult>1</difficult>")
    file = read_voc_xml(write_text(tmp_path / "a.xml", voc_xml("a.jpg", objects)))
    assert (file.photo, file.size) == ("a.jpg", (40, 20))
    cat, dog = file.objects
    assert cat == (1, "cat", (2.0, 3.0, 12.0, 20.0), False)
    assert dog == (2, "big dog", (1.5, 0.0, 3.0, 4.0), True)


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    text = voc_xml("a.jpg", voc_object("person", (2, 3, 12, 20), part))
    (person,) = read_voc_xml(write_text(tmp_path / "a.xml", text)).objects
    assert person.corners == (2, 3, 12, 20)


def test_the_challenge_counts_pixels_from_one(tmp_path: Path) -> None:
    source = "<source><database>The VOC2007 Database</database></source>"
    text = voc_xml("a.jpg", voc_object("cat", (1, 1, 20, 40)), more=source)
    (cat,) = read_voc_xml(write_text(tmp_path / "a.xml", text)).objects
    assert cat.corners == (0, 0, 20, 40)


@pytest.mark.parametrize("size", [(0, 0), (40, 0)])
def test_a_size_of_0_is_none(size: tuple[int, int], tmp_path: Path) -> None:
    text = voc_xml("a.jpg", CAT, size=size)
    assert read_voc_xml(write_text(tmp_path / "a.xml", text)).size is None


@pytest.mark.parametrize(
    ("text", "message", "cause"),
    [
        ("<annotation>\n<object>", "no XML", "no element found: line 2, column 8"),
        ("", "no XML", "no element found"),
        ("<annotation>\n<object></name></object>", "no XML", "mismatched tag: line 2"),
        (
            '<!DOCTYPE a [<!ENTITY b "cc">]><annotation>&b;</annotation>',
            "no XML",
            "it has a document type",
        ),
        ("<net/>", "annotation", "its root is <net>, not <annotation>"),
        (voc_xml("a", CAT + "<object><bndbox/></object>"), "annotation", "object 2 has no name"),
        (
            voc_xml("a", "<object><name>cat</name></object>"),
            "annotation",
            "object 1 (cat) has no bndbox",
        ),
        (
            voc_xml("a", CAT.replace("<xmax>20</xmax>", "")),
            "annotation",
            "object 1 (cat): xmax is missing, not a number of pixels",
        ),
        (
            voc_xml("a", CAT.replace("<ymin>2<", "<ymin>two<")),
            "annotation",
            "object 1 (cat): ymin is two, not a number of pixels",
        ),
        (
            voc_xml("a", CAT.replace("<ymin>2<", "<ymin>nan<")),
            "annotation",
            "object 1 (cat): ymin is nan",
        ),
    ],
)
def test_a_broken_file_is_named(text: str, message: str, cause: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.xml .*" + message) as caught:
        read(tmp_path, text)
    assert cause in (caught.value.cause or "")
    assert caught.value.hint
