"""The report shows classes, and photos with their masks."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from edgekit.data.masks.shapes import MaskedShapes
from edgekit.data.preprocessing import Preprocessing
from edgekit.report.document import make_row
from edgekit.report.html import render
from edgekit.system.host import describe_host
from edgekit.tasks.segmentation.task import TASK

SIDE = 24
PHOTOS = MaskedShapes(6, 0, "val", SIDE)
NAMES = (*(f"class {i}" for i in range(10)), "<b>")
RECORD = Preprocessing(
    SIDE, (127.0,) * 3, (128.0,) * 3, NAMES, crop_fraction=1.0, task="segmentation"
)
MASKS = TASK.labels(PHOTOS, RECORD)


def answers(noise, seed=0):
    """Logits that are right but for some noise; of photo 2 twice of it."""
    rng = np.random.default_rng(seed)
    scale = noise * np.array([1, 1, 2, 1, 1, 1])[:, None, None, None]
    logits = 4 * np.eye(11)[MASKS] + scale * rng.normal(size=(*MASKS.shape, 11))
    return TASK.keep(logits.astype(np.float32))


FP32, INT8 = answers(1.5), answers(2.5, seed=1)


def test_the_hardest_photos_come_first_with_their_masks():
    found = TASK.page.hardest(FP32, PHOTOS, RECORD, 3)
    assert found[0].name == PHOTOS.names[2]
    assert [photo.loss for photo in found] == sorted((p.loss for p in found), reverse=True)
    assert found[0].score < found[1].score
    assert found[0].pixels.shape == (SIDE, 3 * SIDE, 3)
    assert np.array_equal(found[0].pixels[:, :SIDE], RECORD.pixels(PHOTOS.load(2)))


def test_what_is_beyond_a_padded_photo_is_not_shown():
    class Wide(MaskedShapes):
        def load(self, index, shrink=None):
            return super().load(index, shrink).resize((SIDE, SIDE // 2))

        def label(self, index):
            return super().label(index).resize((SIDE, SIDE // 2), Image.Resampling.NEAREST)

    photos, record = Wide(6, 0, "val", SIDE), dataclasses.replace(RECORD, fit="pad")
    for found, pictures in (
        (TASK.page.hardest(FP32, photos, record, 1), 3),
        (TASK.page.lost(FP32, INT8, photos, record, 1)[0], 4),
    ):
        assert found[0].pixels.shape == (SIDE // 2, pictures * SIDE, 3)


def test_photos_of_classes_alone_are_hard_by_their_score():
    found = TASK.page.hardest(TASK.keep(FP32["classes"]), PHOTOS, RECORD, 6)
    assert [photo.score for photo in found] == sorted(photo.score for photo in found)
    assert np.isnan(found[0].loss)


def test_lost_photos_are_those_that_fall_most():
    found, total = TASK.page.lost(FP32, INT8, PHOTOS, RECORD, 2)
    assert total == 6
    falls = [photo.before - photo.after for photo in found]
    assert falls == sorted(falls, reverse=True)
    assert falls[-1] > 0.01
    assert found[0].pixels.shape == (SIDE, 4 * SIDE, 3)
    assert TASK.page.lost(FP32, FP32, PHOTOS, RECORD, 2) == ([], 0)


def document(forms):
    rows = [
        make_row(TASK, stage, "LiteRT 2", outputs, MASKS, reference=FP32)
        for stage, outputs in forms.items()
    ]
    return {
        "edgekit_version": "1", "created": "2026-11-22T08:40:11+00:00", "model": "unet-lite0",
        "output": "logits", "command": "edgekit build unet-lite0", "rows": rows, "stages": [],
        "warnings": [], "training": None, "quantization": None, "targets": [], "devices": [],
        "files": [], "host": describe_host(()), "preprocessing": RECORD.to_dict(),
        "evaluation": TASK.page.evaluate(forms, MASKS, NAMES),
        "data": {"source": "", "builtin": True, "labels": list(NAMES), "n_train": 1, "n_val": 6,
                 "n_calibration": 1, "unreadable": 0},
    }  # fmt: skip


def test_the_page_has_a_table_of_classes_and_strips_of_photos():
    forms = {"fp32-torch": FP32, "w8a8-tflite": INT8}
    worst = TASK.page.hardest(FP32, PHOTOS, RECORD, 2)
    page = render(document(forms), [], 0, worst)
    assert page.count("IoU %<br>") == page.count("Dice %<br>") == 2
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    present = len(set(MASKS.ravel().tolist()) - {255})
    assert f"{present} of the 11 classes are in the masks of the 6 validation photos" in page
    assert page.count('width="432"') == 2
    assert "Hardest photos" in page
    assert page.count("data:image/jpeg") == 2


def test_the_page_of_a_training_alone_compares_nothing():
    page = render(document({"fp32-torch": FP32}), [], 0)
    assert "Drop pp" not in page
    assert page.count("IoU %<br>") == 1
    assert "Hardest photos" not in page


def test_the_terminal_shows_the_interval_and_the_drop():
    row = TASK.measure(INT8, MASKS, FP32)
    cells = {column.title: column.cell(row) for column in TASK.page.columns}
    assert cells["mIoU %"] == f"{100 * row['miou']:.2f}"
    assert cells["drop pp"].startswith(f"{row['drop_pp']:.2f} ± ")
    assert cells["95 % interval"].count(" to ") == 1


@pytest.mark.parametrize(
    "scores", [np.eye(11)[MASKS[0]], MASKS[0], MASKS[0][..., None]], ids=["logits", "classes", "1"]
)
def test_the_answer_is_counted_by_class(scores, capsys):
    answer = TASK.page.answer.format(labels=repr(list(NAMES)))
    exec(answer, {"scores": scores})  # noqa: S102 - the text under test
    counted = dict(zip(NAMES, np.bincount(MASKS[0].ravel(), minlength=11).tolist(), strict=True))
    assert capsys.readouterr().out.strip() == str(counted)


def test_a_smaller_map_is_drawn_in_the_size_of_the_photo():
    small = TASK.keep(FP32["classes"][:, ::2, ::2].astype(np.int64))
    ((photo,), _) = TASK.page.lost(FP32, small, PHOTOS, RECORD, 1)
    assert photo.pixels.shape == (SIDE, 4 * SIDE, 3)
