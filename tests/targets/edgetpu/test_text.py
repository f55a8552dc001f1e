"""Bytes of a capture become lines, whatever wrote them down."""

from __future__ import annotations

import pytest

from edgekit.targets.edgetpu.text import clean_lines, decode, split_streams, unpacked

TEXT = "Compilation of naïve 模型.tflite\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_encodings(encoding):
    assert decode(TEXT.encode(encoding)) == TEXT


def test_what_is_no_text_is_decoded_all_the_same():
    assert decode(b"\xff\xfe\x00binary")
    assert decode(b"") == ""
    assert decode(b"caf\xe9") == "caf\ufffd"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\r\nb\rc\nd", ["a", "b", "c", "d"]),
        ("a\x85b\u2028c", ["a\x85b\u2028c"]),  # of a name, and no end of a line
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b(B", ["red x\x1b(B"]),
        ("\ufeffa\xa0b\0", ["a b"]),
        ('{"log":"a\\nb\\n","stream":"stdout"}', ["a", "b", ""]),
        ('{"level":3}', ['{"level":3}']),
    ],
)
def test_lines(text, lines):
    assert clean_lines(text) == lines


@pytest.mark.parametrize("line", ["{broken", "{}", '{"log": 3}', "[1]", "{" * 100_000])
def test_what_is_no_message_in_json_stays(line):
    assert unpacked(line) == line


def test_streams_are_told_apart_by_the_names_before_the_first_lines():
    version = "Edge TPU Compiler version 16.0.384591198"
    lines = [f"a  | {version}", f"b  | {version}", "a  | x", "b  | y", "z"]
    assert split_streams(lines) == [[lines[0], lines[2]], [lines[1], lines[3]], ["z"]]
    for prefix in ("", "2024-05-01T12:00:00Z ", "> "):
        same = [prefix + version, prefix + "x", prefix + version]
        assert split_streams(same) == [same]
