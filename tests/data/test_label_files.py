from __future__ import annotations

import json

import pytest

from edgekit.data.label_files import fit_labels, read_labels
from edgekit.errors import UsageError

NAMES = ("cat", "dog", "fish")


@pytest.mark.parametrize(
    "data",
    [
        b"cat\ndog\nfish",
        b"cat\ndog\nfish\n",
        b"cat\r\ndog\r\nfish\r\n\r\n",
        b"cat\rdog\rfish\r",
        b"\xef\xbb\xbfcat\ndog\nfish\n",
        "cat\ndog\nfish\n".encode("utf-16"),
        "cat\r\ndog\r\nfish".encode("utf-32"),
        b"['cat', 'dog', 'fish']",
        b'["cat", "dog", "fish"]\n',
        b"{0: 'cat', 1: 'dog', 2: 'fish'}",
        b'{"0": "cat", "2": "fish", "1": "dog"}',
        b"{'task': 'classify', 'names': {0: 'cat', 1: 'dog', 2: 'fish'}}",
        json.dumps({"names": list(NAMES)}).encode(),
        json.dumps({"names": "{0: 'cat', 1: 'dog', 2: 'fish'}"}).encode(),
    ],
)
def test_label_files_of_any_system_and_tool(data):
    assert read_labels(data) == NAMES


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", ()),
        (b"\n\n", ()),
        (b"a\n\nb\n", ("a", "", "b")),  # a line's position is its class
        ("a\u2028b\nc\x0bd".encode(), ("a\u2028b", "c\x0bd")),
        ("Föhre\n".encode(), ("Föhre",)),
        ("Föhre\n".encode("cp1252"), ("Föhre",)),
        (b"[unused]\ndog", ("[unused]", "dog")),
        (b"{__import__('os').system('false')}", ("{__import__('os').system('false')}",)),
        (b"[" * 100_000 + b"]" * 100_000, ("[" * 100_000 + "]" * 100_000,)),
    ],
)
def test_lines_stay_lines(data, names):
    assert read_labels(data) == names


@pytest.mark.parametrize(
    "data", [b"{'a': 1}", b"{1: 'cat', 2: 'dog'}", b"[1, 2]", b"{'names': {'x': 'cat'}}", b"[{}]"]
)
def test_a_table_without_names_is_refused(data):
    with pytest.raises(UsageError, match="labels cannot be read"):
        read_labels(data)


@pytest.mark.parametrize(
    ("labels", "classes", "names", "note"),
    [
        (NAMES, 3, NAMES, None),
        ((), 3, (), None),
        (("background", *NAMES), 3, NAMES, "no class for the first, 'background'"),
        (("__background__", *NAMES), 3, NAMES, "4 labels for 3 classes"),
        (("0 Background", *NAMES), 3, NAMES, "4 labels for 3 classes"),
        (("???", *NAMES), 3, NAMES, "'???'"),
        (("background", *NAMES), 2, (), "4 labels for 2 classes: classes are numbers here"),
        (("ant", *NAMES), 3, (), "4 labels for 3 classes"),
        (("a",), 3, (), "1 label for 3 classes"),
        (NAMES, 4, (), "class 0 may be the background"),
        (("background", "cat"), 2, ("background", "cat"), None),
    ],
)
def test_labels_are_compared_with_the_output(labels, classes, names, note):
    fitted = fit_labels(labels, classes)
    assert fitted.names == names
    assert (fitted.note is None) == (note is None)
    assert note is None or note in fitted.note
