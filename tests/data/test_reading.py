"""What a process finds in photos is what this one does, whatever they lie in and are called."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from edgekit.data.photo_files import Place, Span
from edgekit.data.reading import answered, read, request
from edgekit.data.scan import READER
from edgekit.system.workers import ask_each


@pytest.fixture
def places(tmp_path: Path) -> list[Place]:
    """A photo, one that lies within a file, one that is damaged, none, and a cut-off one."""
    contents = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 0, 99)).save(contents, "PNG")
    photo = contents.getvalue()
    whole, held, damaged = tmp_path / "a ü\udcff.png", tmp_path / "held", tmp_path / "b.png"
    whole.write_bytes(photo)
    held.write_bytes(b"before" + photo + b"after")
    damaged.write_bytes(photo[:40])
    within = Span(held, 6, len(photo))
    return [whole, within, damaged, tmp_path / "none.png", Span(held, 6, 1 << 20)]


def test_a_process_finds_what_this_one_does(places: list[Place]) -> None:
    here = [read(place) for place in places]
    (answer,) = ask_each(READER, [request(places)], 1)
    assert answer is not None
    assert answered(answer) == here
    assert here[0].sha256 == here[1].sha256 == hashlib.sha256(places[0].read_bytes()).hexdigest()
    assert [bool(one.problem) for one in here] == [False, False, True, True, True]
    assert here[4].problem == "the file has become shorter"
