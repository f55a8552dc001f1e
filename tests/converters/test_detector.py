"""Which files are detectors that end with boxes: ours, and those of other converters."""

import pytest
from detector_files import LABELS, MOST, contents
from map_files import contents as map_contents
from places import SHARED
from prerequisites import needs

from edgekit.converters.descriptions import describe_task
from edgekit.converters.detector import BoxesEnd, tflite_boxes
from edgekit.converters.file_task import tflite_task
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.metadata import read_metadata

ORACLE = SHARED / "oracle/detection"
FOREIGN = {
    ORACLE / "google_lite0_320_c5_nms_int8.tflite": BoxesEnd(25, 5),
    SHARED / "weights/coco_ssd_mobilenet_v1_quant.tflite": BoxesEnd(10, 90),
}


def task_of(data):
    return tflite_task(tflite_file.parse(data), read_metadata(data))


def test_a_file_of_ours_says_what_it_ends_with():
    task = task_of(contents())
    assert (task.name, task.map, task.rows) == ("detection", None, None)
    assert task.boxes == BoxesEnd(MOST, len(LABELS))
    assert str(task) == f"detector: up to {MOST} boxes of 3 classes"
    assert describe_task(task)["boxes"] == {"most": MOST, "classes": 3}
    raw = task_of(contents("raw"))
    assert (raw.name, raw.boxes) == ("detection", None)
    assert describe_task(raw)["boxes"] is None


@needs("shared", ORACLE.is_dir())
@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path.stem)
def test_a_foreign_detector_is_known_by_its_operator(path):
    task = task_of(path.read_bytes())
    assert task.name == "detection"
    assert task.boxes == FOREIGN[path]


@needs("shared", ORACLE.is_dir())
def test_what_takes_no_photo_or_gives_several_classes_is_none():
    alone = tflite_file.read(ORACLE / "postprocess_fast.tflite")
    assert tflite_boxes(alone) is None


def test_other_files_are_no_detectors():
    assert task_of(map_contents("unet")).boxes is None
