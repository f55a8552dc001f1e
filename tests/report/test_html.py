"""The page is whole, escaped, self-contained and the same every time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.report import Document, Miss, write_html
from edgekit.report.html import render

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "path", "circle", "polyline"}


class Page(HTMLParser):
    """Collects text by element and checks that elements close in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def written(path: Path, document: Document, **options: object) -> str:
    write_html(document, path, **options)  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_says_everything(tmp_path: Path, document: Document, misses: list[Miss]) -> None:
    page = Page(written(tmp_path / "report.html", document, photos=misses))
    text = " ".join(page.text.split())
    for expected in [
        "top-1 of fp32's 93.07 %: a drop of 0.27 points, within the noise of 736 photos.",
        *(row["stage"] for row in document["rows"]),
        *(stage["name"] for stage in document["stages"]),
        *(file["sha256"] for file in document["files"]),
        document["command"],
        "91.20 to 94.70",
        "98.91",
        "0.0042",
        "4.0 MB",
        "8.41",
        "9 photos.",
        "roses/broken.jpg",
        "edgetpu_compiler --min_runtime_version 13 lite0-w8a8.tflite",
        "Interpreter('lite0-w8a8.tflite')",
        "top-5 is always 100 % and is left out",
        "62 mse, 2 fixed",
        "block3a_expand",
        "27.3",
        "0 to 4.81",
        "0.0123",
        "tensorflow-cpu 2.21.0",
        "on AMD EPYC: 200 warm runs, 2 threads.",
        "cached",
    ]:
        assert expected in text
    assert "Top-5 %" not in text
    assert page.tags.count("img") == 9
    assert page.tags.count("svg") == 3  # accuracy, loss, validation top-1


def test_asks_for_nothing(tmp_path: Path, document: Document, misses: list[Miss]) -> None:
    page = Page(source := written(tmp_path / "report.html", document, photos=misses))
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "action", "srcset"):
            assert value is not None
            assert value.startswith("data:image/jpeg;base64,")
    assert not re.search(r"https?://|url\(|@import", source)
    assert "default-src 'none'" in source


def test_is_the_same_every_time(tmp_path: Path, document: Document, misses: list[Miss]) -> None:
    first = written(tmp_path / "a.html", document, photos=misses)
    again = json.loads(json.dumps(document))  # as it comes back from report.json
    assert written(tmp_path / "b.html", again, photos=misses) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_escapes_what_the_user_wrote(
    tmp_path: Path, document: Document, misses: list[Miss]
) -> None:
    document["model"] = document["command"] = document["data"]["source"] = EVIL
    document["data"]["labels"] = [EVIL, '" onload="x', "O'Hara"]
    document["warnings"] = [f"`{EVIL}` and {EVIL}", f"odd ` {EVIL}"]
    document["rows"][0]["stage"] = document["rows"][0]["runtime"] = EVIL
    document["stages"][0].update(name=EVIL, detail=EVIL)
    document["targets"][0].update(name=EVIL, status=EVIL, message=EVIL, files=[EVIL])
    document["files"][1]["path"] = EVIL + "w8a8.tflite"
    document["preprocessing"]["interpolation"] = EVIL
    document["host"]["versions"] = {EVIL: EVIL}
    evil = Miss(misses[0].pixels, '"><script>', EVIL, EVIL, EVIL)
    page = Page(written(tmp_path / "report.html", document, photos=[evil]))
    assert "script" not in page.tags
    assert "onload" not in [name for name, _ in page.attributes]
    assert page.text.count(EVIL) >= 15


def test_shows_at_most_24_photos(tmp_path: Path, document: Document, misses: list[Miss]) -> None:
    page = Page(written(tmp_path / "a.html", document, photos=misses * 3))
    assert page.tags.count("img") == 24
    assert "27 photos; the first 24 are shown" in page.text
    page = Page(written(tmp_path / "b.html", document, photos=misses, total=41))
    assert "41 photos; the first 9 are shown" in page.text
    assert "No photo." in Page(written(tmp_path / "c.html", document)).text


def test_top5_is_shown_where_it_can_differ(tmp_path: Path, document: Document) -> None:
    document["data"]["labels"] = [f"class {i}" for i in range(10)]
    document["rows"][0]["top5"] = 0.9977
    text = Page(written(tmp_path / "report.html", document)).text
    assert "Top-5 %" in text
    assert "99.77" in text
    assert "left out" not in text


def test_a_bare_run(tmp_path: Path, document: Document) -> None:
    for field in ("rows", "stages", "warnings", "targets", "files"):
        document[field] = []  # type: ignore[literal-required]
    document.update(training=None, quantization=None, preprocessing={})
    page = Page(written(tmp_path / "report.html", document))
    assert "Nothing was measured." in page.text
    assert "svg" not in page.tags


@pytest.mark.parametrize(("epochs", "charts"), [(0, 0), (1, 0), (2, 2), (300, 2)])
def test_training_curves(tmp_path: Path, document: Document, epochs: int, charts: int) -> None:
    assert document["training"]
    one = document["training"]["history"][0]
    document["training"]["history"] = [{**one, "epoch": i + 1} for i in range(epochs)]
    page = Page(written(tmp_path / "report.html", document))
    assert page.tags.count("figcaption") == charts
    assert ("No epoch was trained." in page.text) == (epochs == 0)


def test_keeps_the_old_report_when_it_cannot_write(tmp_path: Path, document: Document) -> None:
    with pytest.raises(EdgekitError, match="cannot write") as caught:
        write_html(document, tmp_path / "missing" / "report.html")
    assert "cause: No such file" in str(caught.value)
    (tmp_path / "report.html").mkdir()  # the rename fails, and leaves nothing behind
    with pytest.raises(EdgekitError, match="cannot write"):
        write_html(document, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_climb_is_a_table_with_the_photos_that_were_held_out(document):
    rung = {"seconds": 1.5, "top1": 0.9, "drop_pp": 0.61, "agreement": 0.97}
    rung |= {"kl": 0.0234, "expected_pp": 0.25}
    document["quantization"]["repair"] = "auto"
    document["quantization"]["ladder"] = {
        "max_drop": 0.3,
        "chosen_on": list(range(400)),
        "chosen": "bias <correction>",
        "met": True,
        "rungs": [
            {**rung, "name": "ranges", "met": False},
            {**rung, "name": "bias <correction>", "met": True},
        ],
        "skipped": ["mixed precision: a target takes int8 throughout"],
        "held_out": {**rung, "n": 399, "drop_se_pp": 0.4},
    }
    page = render(document, [], 0)
    assert "The climb to a drop of 0.30 points" in page
    assert "<strong>bias &lt;correction&gt;</strong>" in page
    assert page.count("missed") == 1
    assert "399 other photos" in page
    assert "Left out: mixed precision" in page


def test_mixed_precision_and_training_in_8_bits_are_named(document):
    quantization = document["quantization"]
    quantization["float_layers"] = ["block6c_se_scale"]
    quantization["repair"] = "qat"
    quantization["qat"] = {"history": document["training"]["history"][:2]}
    page = render(document, [], 0)
    assert "<code>block6c_se_scale</code>" in page
    assert "2 epochs in" in page
    assert "agrees on 98.00 % with a KL of 0.0021" in page


def test_devices_stand_beside_the_host(document):
    page = render(document, [], 0)
    assert "On devices" in page
    assert "ssh://pi@&lt;b&gt;raspberry&lt;/b&gt;" in page
    assert "48 to 72" in page
    assert "its clock fell from 1800 to 1200 MHz" in page
    assert "the connection to adb://R58 broke off" in page
    for saved in ([], None):  # None: a report of an earlier version has no such field
        other = {name: value for name, value in document.items() if name != "devices"}
        other |= {} if saved is None else {"devices": saved}
        assert "On devices" not in render(other, [], 0)
