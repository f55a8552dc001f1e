"""A detector on a device: this machine, and sources of an app."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from detector_files import BOXES, LABELS, MOST, contents, record, write_detector_file
from detector_graph import SIDE
from map_files import photo
from PIL import Image

from edgekit.data.placement import place
from edgekit.errors import EdgekitError
from edgekit.networks.detection.outputs import centers_of
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.deploy import deploy as deploying
from edgekit.targets.deploy.apis import INTERPRETER
from edgekit.targets.deploy.boxes import share_found
from edgekit.targets.deploy.deploy import deploy
from edgekit.targets.detect import detect
from edgekit.targets.measure.isolated import Effort
from edgekit.tasks.detection.kept import keep
from edgekit.tasks.registry import find_task

TASK = find_task("detection")


def load_program():
    spec = importlib.util.spec_from_file_location("detect_program", TASK.device_program)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAM = load_program()


def local(model: Path, to: Path):
    return deploy(model, "local:", to=str(to), python=sys.executable)


def ask(folder: Path, *arguments: str):
    line = [sys.executable, str(folder / "detect.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("output", "fit"), [("detections", "stretch"), ("detections", "pad"), ("raw", "pad")]
)
def test_the_program_finds_what_edgekit_finds(tmp_path, output, fit):
    model = write_detector_file(tmp_path / "m.tflite", output, fit=fit)
    done = local(model, tmp_path / "there")
    assert "100% of the 10 best boxes are the same" in done.checked
    assert sorted(done.files) == sorted(p.name for p in (tmp_path / "there").iterdir())
    assert done.command.endswith("detect.py check.ppm")
    picture = tmp_path / "street.png"
    Image.fromarray(photo()).save(picture)
    ran = ask(tmp_path / "there", "--json", str(picture), "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    found = detect(model, [picture], out=tmp_path / "ours.png", effort=Effort(repeat=1))
    wanted = found["photos"][0]["boxes"]
    assert len(wanted) > 1
    assert [one["label"] for one in answer["boxes"]] == [one["label"] for one in wanted]
    for theirs, ours in zip(answer["boxes"], wanted, strict=True):
        for key in ("score", "top", "left", "bottom", "right"):
            assert theirs[key] == pytest.approx(ours[key], abs=1e-3)
    with Image.open(answer["drawn"]) as drawn:
        assert drawn.size == (40, 28)
        assert not np.array_equal(np.array(drawn), photo())
    plain = ask(tmp_path / "there", "--out", str(tmp_path), str(picture)).stdout
    assert wanted[0]["label"] in plain
    assert "drawn:" in plain


def test_a_device_that_is_fed_wrongly_is_found(tmp_path, monkeypatch):
    model, to = write_detector_file(tmp_path / "m.tflite"), tmp_path / "there"
    ask_device = deploying._ask

    def other_colours(host, work, python, folder, description):
        record = json.loads(Path(folder, "model.json").read_text())
        record["input"] = {"dtype": "uint8", "feed": "normalize", "mean": [90] * 3, "std": [1] * 3}
        Path(folder, "model.json").write_text(json.dumps(record))
        return ask_device(host, work, python, folder, description)

    monkeypatch.setattr(deploying, "_ask", other_colours)
    with pytest.raises(EdgekitError, match="does not answer as this host") as caught:
        local(model, to)
    assert "best boxes are the same" in caught.value.cause


def test_its_anchors_are_ours():
    for side in (20, 32, 50):
        theirs = PROGRAM.make_anchors(side, BOXES.to_dict())
        assert theirs == pytest.approx(centers_of(BOXES, side, side), abs=1e-6)


def test_its_decoding_is_what_is_kept(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(contents("raw", is_float=True))
    raw = LiteRT(path).run(np.array(Image.fromarray(photo()).resize((SIDE, SIDE)))[None])
    program = PROGRAM.Model.__new__(PROGRAM.Model)
    program.anchors = centers_of(BOXES, SIDE, SIDE)
    theirs = program.decode(raw[0, :, :4], raw[0, :, 4:])
    ours = keep(raw, record())["detections"][0]
    ours = ours[ours[:, 4] > 0]
    assert theirs == pytest.approx(ours, abs=1e-5)


@pytest.mark.parametrize("size", [(40, 28), (17, 90), (20, 20)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_its_placement_is_ours(size, fit):
    about = {"size": SIDE, "fit": fit, "crop_fraction": 0.875, "interpolation": "bilinear"}
    theirs, ours = PROGRAM.Place(*size, about), place(size, SIDE, fit, 0.875)
    rows = np.random.default_rng(1).uniform(-0.2, 1.2, (5, 6))
    width, height = size
    wanted = ours.boxes_out(rows[:, :4]).clip(0, [height, width] * 2)
    assert theirs.boxes_out(rows) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("minor", [9, 10, 11])
def test_the_program_is_python_3_9_and_alone(minor):
    text = TASK.device_program.read_text()
    ast.parse(text, feature_version=(3, minor))
    assert "edgekit." not in text
    assert "strict=" not in text  # of zip, since 3.10


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (
            "detections",
            ["boxes = outputs[0]", "classes = outputs[1]", "count = outputs[3][0].toInt()"],
        ),
        (
            "raw",
            [
                "offsets = outputs[0]",
                "logits = outputs[1]",
                "CLASSES = 3\n",
                "LEVELS = listOf(1, 2, 3)\n",
            ],
        ),
    ],
)
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_the_kotlin_has_the_files_constants(tmp_path, output, says, fit):
    model = write_detector_file(tmp_path / "m.tflite", output, fit=fit)
    done = deploy(model, None, android=INTERPRETER, to=str(tmp_path / "app"))
    assert done.checked == "not run on the phone"
    main = tmp_path / "app/app/src/main"
    kotlin = "".join(path.read_text() for path in (main / "java/edgekit").glob("*.kt"))
    for words in ('MODEL = "m.tflite"', f"SIZE = {SIDE}\n", *says):
        assert words in kotlin
    assert all(kotlin.count(left) == kotlin.count(right) for left, right in ("{}", "()", "[]"))
    assert kotlin.isascii()
    assert "{{" not in kotlin
    assert not re.search(r"\n\n\n", kotlin)
    assert (main / "assets/labels.txt").read_text().split("\n")[:-1] == list(LABELS)
    assert "detector" in (tmp_path / "app/README.md").read_text()


def test_boxes_are_the_same_where_each_has_one_that_is_near():
    rows = np.array([[0, 0, 0.5, 0.5, 0.9, 1], [0.2, 0.2, 0.9, 0.9, 0.6, 0]])
    assert share_found(rows, rows[::-1]) == (1.0, 2)
    other = rows.copy()
    other[1, 5] = 1
    assert share_found(rows, other) == (0.5, 2)
    assert share_found(rows, np.zeros((0, 6))) == (0.0, 2)
    assert share_found(np.zeros((MOST, 6)), rows) == (1.0, 0)
