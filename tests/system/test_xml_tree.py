"""XML is parsed, and nothing that it could do besides."""

from __future__ import annotations

import pytest

from edgekit.system.xml_tree import parse_xml


def test_a_tree() -> None:
    root = parse_xml('<?xml version="1.0"?><a x="1"><b>é &amp; c</b><b/></a>'.encode(), 3)
    assert (root.tag, root.get("x")) == ("a", "1")
    assert [one.text for one in root.findall("b")] == ["é & c", None]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "a document type"),
        ("<a>&b;</a>", "undefined entity"),
        ("<a><b/><b/><b/></a>", "too many elements"),
        ("<a><b><c/></b></a>", "too deep"),
        ("<a>\n<b></a>", "mismatched tag: line 2"),
        ("", "no element found"),
        ("<a/><b/>", "junk after document element"),
    ],
)
def test_what_is_refused(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        parse_xml(text.encode(), 3, 2)
