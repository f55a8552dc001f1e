"""The report shows figures by class, curves, and photos with their boxes."""

import re

import numpy as np
import pytest
from detections import PEAKS
from jinja2 import Environment, FileSystemLoader

from edgekit.data.boxes.anchors import Anchors
from edgekit.data.boxes.shapes import LABELS, BoxedShapes
from edgekit.data.preprocessing import Preprocessing
from edgekit.report.document import make_row
from edgekit.report.html import render
from edgekit.system import text as fmt
from edgekit.system.host import describe_host
from edgekit.tasks.detection.kept import kept_type
from edgekit.tasks.detection.task import TASK

SIDE = 64
PHOTOS = BoxedShapes(6, 0, "val", SIDE)
NAMES = (*LABELS[:-1], "<b>")
RECORD = Preprocessing(
    SIDE, (127.0,) * 3, (128.0,) * 3, NAMES, task="detection", fit="stretch", anchors=Anchors()
)
TRUTHS = TASK.labels(PHOTOS, RECORD)


def answers(lost=(), shift=0.0, score=0.9):
    """What is kept of a network that finds all boxes but those of some photos."""
    kept = np.zeros(6, kept_type(len(NAMES), PEAKS))
    for photo, truth in enumerate(TRUTHS):
        boxes = truth.boxes
        rows = kept["detections"][photo, : len(boxes)]
        rows[:, :4] = boxes.corners / SIDE + shift
        rows[:, 4], rows[:, 5] = (0.1 if photo in lost else score), boxes.classes
    return kept


FP32, INT8 = answers(lost=(2,)), answers(lost=(2, 4), shift=0.01)


def test_the_hardest_photos_come_first_with_their_boxes():
    found = TASK.page.hardest(FP32, PHOTOS, RECORD, 3)
    assert found[0].name == PHOTOS.names[2]
    assert found[0].found == found[0].false == 0
    assert found[0].boxes == len(TRUTHS[2].boxes)
    assert found[1].found == found[1].boxes
    assert [photo.loss for photo in found] == sorted((p.loss for p in found), reverse=True)
    height, width = found[0].pixels.shape[:2]
    assert width == 2 * height
    # A score of 0.1 is not drawn: the right half is the photo itself.
    plain = np.array(PHOTOS.load(2).resize((height, height)))
    assert np.array_equal(found[0].pixels[:, height:], plain)
    assert not np.array_equal(found[0].pixels[:, :height], plain)


def test_photos_with_boxes_that_only_fp32_finds_are_lost():
    found, total = TASK.page.lost(FP32, INT8, PHOTOS, RECORD, 5)
    assert total == 1
    assert found[0].name == PHOTOS.names[4]
    assert (found[0].before, found[0].after) == (len(TRUTHS[4].boxes), 0)
    assert found[0].pixels.shape[1] == 3 * found[0].pixels.shape[0]
    assert TASK.page.lost(FP32, FP32, PHOTOS, RECORD, 5) == ([], 0)


def document(forms):
    rows = [
        make_row(TASK, stage, "LiteRT", kept, TRUTHS, reference=None if kept is FP32 else FP32)
        for stage, kept in forms.items()
    ]
    return {
        "edgekit_version": "1", "created": "2026-11-22T08:40:11+00:00", "model": "det-lite0",
        "output": "raw", "command": "edgekit build det-lite0", "rows": rows, "stages": [],
        "warnings": [], "training": None, "quantization": None, "targets": [], "devices": [],
        "files": [], "host": describe_host(()), "preprocessing": RECORD.to_dict(),
        "evaluation": TASK.page.evaluate(forms, TRUTHS, NAMES),
        "data": {"source": "", "builtin": True, "labels": list(NAMES), "n_train": 1, "n_val": 6,
                 "n_calibration": 1, "unreadable": 0},
    }  # fmt: skip


@pytest.fixture(scope="module")
def page():
    forms = {"fp32-torch": FP32, "w8a8-tflite": INT8}
    worst = TASK.page.hardest(FP32, PHOTOS, RECORD, 2)
    return render(document(forms), [], 0, worst)


def test_the_page_has_figures_curves_and_photos(page):
    assert "AP50, AP75 %" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("data:image/jpeg") == 2
    curves = re.findall(r'<polyline points="([^"]*)"', page)
    assert len(curves) == 4  # two forms at two limits
    assert all(len(curve.split()) == 101 for curve in curves)
    assert f"found</dt><dd>0 of {len(TRUTHS[2].boxes)}" in page


def test_lost_boxes_are_shown_where_there_is_an_int8_file():
    photos, total = TASK.page.lost(FP32, INT8, PHOTOS, RECORD, 5)
    environment = Environment(loader=FileSystemLoader(TASK.page.folder), autoescape=True)
    environment.filters.update(percent=fmt.percent, points=fmt.points, nats=fmt.nats)
    macros = environment.get_template("page.html.j2").module
    shown = str(macros.lost([(photo, "data:") for photo in photos], total))
    assert "In 1 photo int8 misses a box" in shown
    count = photos[0].boxes
    assert f"fp32</dt><dd>{count} of {count}" in shown
    assert f"0 of {count}</dd>" in shown
    assert "int8 finds every box" in str(macros.lost([], 0))


def test_a_run_without_an_int8_file_has_one_form():
    found = render(document({"fp32-torch": FP32}), [], 0)
    assert "Drop pp" not in found
    assert len(re.findall("<polyline", found)) == 2


def test_the_snippet_s_answer_runs(capsys):
    answer = TASK.page.answer.format(labels="NAMES")
    exec(answer, {"scores": np.random.default_rng(0).normal(size=(9, 14)), "NAMES": NAMES})  # noqa: S102
    assert len(capsys.readouterr().out.splitlines()) == 5
