"""The page is whole, escaped, self-contained and the same every time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.report import Document, write_html
from edgekit.report.html import render
from edgekit.tasks.classification.evaluation import evaluate_answers
from edgekit.tasks.classification.page import Miss, WorstPhoto

EVIL = "<script>alert(1)</script>"
LATENCY = dict.fromkeys(("init", "first", "median", "p5", "p95", "n", "threads"), 1)
VOID = {"meta", "img", "br", "path", "circle", "polyline"}


class Page(HTMLParser):
    """Collects text by element and checks that elements close in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.headings: list[str] = []
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
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


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
    assert page.tags.count("svg") == 7  # accuracy; the curves are counted below


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
    document["earlier"] = [{"name": EVIL, "history": [], "recipe": {EVIL: EVIL}}]
    document["evaluation"] = evaluate_answers(EVIL, np.eye(2), np.array([0, 1]), [EVIL, '"><b>'])
    evil = Miss(misses[0].pixels, '"><script>', EVIL, EVIL, EVIL)
    worst = WorstPhoto(misses[0].pixels, '"><script>', EVIL, EVIL, 0.5, 1.0)
    page = Page(written(tmp_path / "report.html", document, photos=[evil], worst=[worst]))
    assert "script" not in page.tags
    assert "onload" not in [name for name, _ in page.attributes]
    assert page.text.count(EVIL) >= 24


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


@pytest.mark.parametrize(("epochs", "charts"), [(0, 0), (1, 0), (2, 5), (300, 5)])
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


def test_a_search_is_a_table_with_the_photos_that_were_held_out(document):
    trial = {"seconds": 1.5, "top1": 0.9, "drop_pp": 0.61, "agreement": 0.97}
    trial |= {"kl": 0.0234, "expected_pp": 0.25}
    document["quantization"]["repair"] = "auto"
    document["quantization"]["search"] = {
        "max_drop": 0.3,
        "chosen_on": list(range(400)),
        "chosen": "bias <correction>",
        "met": True,
        "trials": [
            {**trial, "name": "ranges", "met": False},
            {**trial, "name": "bias <correction>", "met": True},
        ],
        "skipped": ["mixed precision: a target takes int8 throughout"],
        "held_out": {**trial, "n": 399, "drop_se_pp": 0.4},
    }
    page = render(document, [], 0)
    assert "The search for a drop of at most 0.30 points" in page
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


def test_an_old_report_is_drawn_as_ever(document):
    for field in ("earlier", "evaluation", "devices", "chips"):
        del document[field]
    del document["training"]["recipe"]
    for epoch in document["training"]["history"]:
        for field in ("images_per_s", "waiting", "resolution"):
            del epoch[field]
    page = Page(render(document, [], 0))
    assert page.tags.count("figcaption") == 3  # loss, top-1, learning rate
    assert "learning rate 0.0069." in page.text
    assert not {"Answers by class", "Hardest photos"} & set(page.headings)


def test_a_run_that_only_trains(trained, worst):
    page = Page(source := render(trained, [], 0, worst))
    assert "The trained network is right on 93.07 % of 736 photos" in page.text.replace("\xa0", " ")
    assert page.headings == [
        "Accuracy", "Time per stage", "Training", "Answers by class", "Hardest photos",
        "Feeding the model", "Data", "Host", "Files", "Command",
    ]  # fmt: skip
    for absent in ("calibration", "Agrees", "Drop", "Median", "Noise floor", "int8", "Top-1 per"):
        assert absent not in page.text
    assert "Graph.load(Path(&#39;lite0.graph&#39;))" in source
    row = trained["rows"][0]
    row.update(size_bytes=13_600_000, latency_ms=LATENCY)
    assert "Median ms" in render(trained, [], 0)


def test_a_student_stands_before_its_teachers(document):
    training = document["training"]
    training["name"] = "student 2"
    document["earlier"] = [{**training, "name": name} for name in ("teacher", "student 1")]
    page = Page(render(document, [], 0))
    text = " ".join(page.text.split())
    assert "Training: student 2" in text
    assert text.index("Before it: teacher") < text.index("Before it: student 1")
    assert page.tags.count("figcaption") == 18
    assert page.tags.count("details") == 2 + 3  # three recipes
    pace = "312 images/s, 3\xa0% of the time waiting for data."
    assert page.text.count(pace) == 3


def test_the_confusion_matrix_is_a_table_of_numbers(document):
    evaluation = document["evaluation"]
    source = render(document, [], 0)
    body = source[source.index('<table class="confusion">') :].partition("</table>")[0]
    assert body.count('scope="row"') == 6  # classes, precision
    assert body.count('scope="col"') == 8  # true class, answers, photos, recall
    cells = re.findall(r'<td class="(right|mistaken)"(?: style="--share: ([\d.]+)")?>(\d+)<', body)
    counts = [int(count) for _, _, count in cells]
    assert counts == [count for line in evaluation["confusion"] for count in line]
    assert [kind for kind, _, _ in cells].count("right") == 5
    assert cells[0][1] == f"{evaluation['per_class'][0]['recall'] ** 0.5:.3f}"
    assert {share for _, share, count in cells if count == "0"} == {""}


def test_many_classes_are_told_by_their_worst(document):
    labels = np.arange(60)
    answers = np.where(labels % 10, labels, (labels + 1) % 60)
    names = [f"class {i}" for i in range(60)]
    document["evaluation"] = evaluate_answers("fp32-torch", np.eye(60)[answers], labels, names)
    page = Page(render(document, [], 0))
    assert "Of the 60 classes" in page.text
    assert "confusion" not in [value for name, value in page.attributes if name == "class"]


def test_the_hardest_photos_are_shown_with_their_answers(document, worst):
    page = Page(render(document, [], 0, worst))
    text = " ".join(page.text.split())
    assert "The 4 photos of the highest loss in fp32-torch" in text
    assert "true daisy got roses sure 99.3 % loss 5.20".replace(" ", "") in text.replace(" ", "")
    assert page.tags.count("img") == 4
    assert Page(render(document, [], 0, worst * 9)).tags.count("img") == 24
