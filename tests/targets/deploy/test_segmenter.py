"""A segmenter on a device: this machine, and a real OpenSSH server with only a TFLite runtime."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import device as devices
import numpy as np
import pytest
from map_files import LABELS, SIDE, photo, preprocessing, write_map_file
from PIL import Image
from prerequisites import skip_without

from edgekit.data.placement import place
from edgekit.errors import EdgekitError, UsageError
from edgekit.targets import registry
from edgekit.targets.deploy import deploy as deploying
from edgekit.targets.deploy.apis import INTERPRETER
from edgekit.targets.deploy.deploy import deploy
from edgekit.targets.deploy.project import write_project
from edgekit.targets.measure.isolated import Effort
from edgekit.targets.segment import segment
from edgekit.tasks.registry import find_task
from edgekit.tasks.segmentation import overlay

TASK = find_task("segmentation")
KINDS = [
    ("unet", "logits", "pad"),
    ("unet", "classes", "stretch"),
    ("aspp", "classes-fused", "crop"),
]


def load_program():
    spec = importlib.util.spec_from_file_location("segment_program", TASK.device_program)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAM = load_program()


def local(model: Path, to: Path):
    return deploy(model, "local:", to=str(to), python=sys.executable)


def ask(folder: Path, *arguments: str, python: Path | str = sys.executable, **options):
    line = [str(python), str(folder / "segment.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(("network", "output", "fit"), KINDS)
def test_the_program_draws_what_edgekit_draws(tmp_path, network, output, fit):
    model = write_map_file(tmp_path / "m.tflite", network, output, fit=fit)
    done = local(model, tmp_path / "there")
    assert "of 1,024 pixels have the same class" in done.checked
    assert sorted(done.files) == sorted(p.name for p in (tmp_path / "there").iterdir())
    assert done.command.endswith("segment.py check.ppm")
    picture = tmp_path / "street.png"
    Image.fromarray(photo()).save(picture)
    ran = ask(tmp_path / "there", "--json", str(picture), "--out", str(tmp_path))
    answer = json.loads(ran.stdout)
    found = segment(model, [picture], out=tmp_path / "ours.png", effort=Effort(repeat=1))
    wanted = found["photos"][0]["classes"]
    assert [one["label"] for one in answer["classes"]] == [one["label"] for one in wanted]
    assert [one["share"] for one in answer["classes"]] == pytest.approx(
        [one["share"] for one in wanted]
    )
    with Image.open(tmp_path / "ours.png") as ours, Image.open(answer["drawn"]) as theirs:
        assert np.array_equal(np.array(ours), np.array(theirs))
    plain = ask(tmp_path / "there", "--out", str(tmp_path), str(picture)).stdout
    assert wanted[0]["label"] in plain
    assert "drawn:" in plain


def test_a_float_file_is_fed_by_its_normalization(tmp_path):
    model = write_map_file(tmp_path / "f.tflite", "unet", "logits", is_float=True)
    assert "have the same class" in local(model, tmp_path / "there").checked


def test_a_device_that_is_fed_wrongly_is_found(tmp_path, monkeypatch):
    model, to = write_map_file(tmp_path / "m.tflite"), tmp_path / "there"
    local(model, to)
    before = (to / "model.json").stat().st_ino
    ask_device = deploying._ask

    def other_colours(host, work, python, folder, description):
        record = json.loads(Path(folder, "model.json").read_text())
        record["input"] = {"dtype": "uint8", "feed": "normalize", "mean": [90] * 3, "std": [1] * 3}
        Path(folder, "model.json").write_text(json.dumps(record))
        return ask_device(host, work, python, folder, description)

    monkeypatch.setattr(deploying, "_ask", other_colours)
    with pytest.raises(EdgekitError, match="does not answer as this host") as caught:
        local(model, to)
    assert "pixels have the same class" in caught.value.cause
    assert (to / "model.json").stat().st_ino == before


def test_on_a_device_with_an_older_runtime_and_no_pillow(tmp_path, monkeypatch):
    """tflite-runtime 2.14 and numpy below 2 behind sshd; neither Pillow nor OpenCV are there."""
    missing = devices.missing()
    if missing:
        skip_without(missing)
    (tmp_path / "device").mkdir()
    with devices.serve_device(tmp_path / "device") as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        model = write_map_file(tmp_path / "m.tflite", "aspp")
        python = str(devices.VENV / "bin/python")
        done = deploy(model, server.url, to=str(tmp_path / "there"), python=python)
    assert "tflite_runtime" in done.checked
    share = float(re.search(r"([\d.]+)% of 1,024 pixels", done.checked)[1])
    assert share > 97
    there = tmp_path / "there"
    ran = ask(there, str(there / "check.ppm"), "--out", str(tmp_path), python=python)
    assert ran.returncode == 0, ran.stderr
    with Image.open(tmp_path / "check-classes.png") as drawn:
        assert (drawn.mode, drawn.size) == ("RGB", (SIDE, SIDE))
    Image.fromarray(photo()).save(tmp_path / "p.png")
    assert "only .ppm can be read" in ask(there, str(tmp_path / "p.png"), python=python).stderr
    (tmp_path / "other.ppm").write_bytes(b"P6 # why\n2 1 255\n" + bytes(6))
    other = ask(there, str(tmp_path / "other.ppm"), python=python)
    assert "2 x 1 pixels cannot be resized" in other.stderr


@pytest.mark.parametrize("minor", [9, 10, 11])
def test_the_program_is_python_3_9_and_alone(minor):
    text = TASK.device_program.read_text()
    ast.parse(text, feature_version=(3, minor))
    assert "edgekit." not in text


@pytest.mark.parametrize("size", [(40, 28), (17, 90), (32, 32), (7, 5), (301, 200)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_its_placement_is_ours(size, fit):
    record = {"size": SIDE, "fit": fit, "crop_fraction": 0.875, "interpolation": "bilinear"}
    record["margin"] = [127] * 3
    theirs, ours = PROGRAM.Place(*size, record), place(size, SIDE, fit, 0.875)
    assert (theirs.source, theirs.shown) == (ours.source, ours.shown)
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 9, (SIDE, SIDE), np.uint8)
    assert np.array_equal(theirs.restore(classes), ours.restore(classes))
    pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    shown = ours.image(Image.fromarray(pixels), Image.Resampling.BILINEAR, (127,) * 3)
    assert np.array_equal(theirs.show(pixels, record), shown)


def test_its_drawing_is_ours():
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 5, (9, 11)).repeat(3, 0).repeat(3, 1).astype(np.uint8)
    classes[:4] = 255
    pixels = photo(33, 27)
    colors = [[i, 255 - i, 7 * i % 256] for i in range(256)]
    drawn = PROGRAM.draw(pixels, classes, colors)
    assert np.array_equal(drawn, overlay.draw(pixels, classes, colors=np.array(colors, np.uint8)))
    with Image.open(io.BytesIO(PROGRAM.png(drawn))) as image:
        assert np.array_equal(np.array(image), drawn)


def bundle(tmp_path: Path, *args: str, **fields: object) -> Path:
    model = write_map_file(tmp_path / "m.tflite", *args, **fields)
    done = deploy(model, None, android=INTERPRETER, to=str(tmp_path / "app"))
    assert done.checked == "not run on the phone"
    return tmp_path / "app"


@pytest.mark.parametrize(
    ("network", "output", "fit", "says"),
    [
        (
            "unet",
            "logits",
            "pad",
            ["CLASSES = 5\n", "MARGIN = byteArrayOf(127.toByte()", "shown.set("],
        ),
        ("aspp", "logits", "crop", ["CLASSES = 7\n", "CROP = 1.0\n", "source.set("]),
        ("unet", "classes", "stretch", ["List<IntArray>", "output[it].toByte()"]),
        (
            "aspp",
            "classes-fused",
            "stretch",
            ["List<ByteArray>", "ByteArray =\n        output\n"],
        ),
    ],
)
def test_the_kotlin_has_the_files_constants(tmp_path, network, output, fit, says):
    app = bundle(tmp_path, network, output, fit=fit)
    main = app / "app/src/main"
    kotlin = "".join(path.read_text() for path in (main / "java/edgekit").glob("*.kt"))
    for words in ('MODEL = "m.tflite"', f"SIZE = {SIDE}\n", f"ROWS = {SIDE}\n", *says):
        assert words in kotlin
    assert all(kotlin.count(left) == kotlin.count(right) for left, right in ("{}", "()", "[]"))
    assert kotlin.isascii()
    assert not re.search(r"\n\n\n", kotlin)
    assert (main / "assets/labels.txt").read_text().split("\n")[:-1] == list(LABELS[network])
    colors = (main / "assets/colors.txt").read_text().splitlines()
    assert colors[1] == f"#800000 {LABELS[network][1]}"
    assert not (main / "cpp").exists()
    assert "segmenter" in (app / "README.md").read_text()


def test_sources_for_a_chip_are_refused(tmp_path):
    model = write_map_file(tmp_path / "m.tflite")
    target = registry.find("tflm")
    with pytest.raises(UsageError, match="no sources of") as caught:
        write_project(target, model, tmp_path / "project")
    assert "segmentation" in caught.value.cause
    assert not (tmp_path / "project").exists()


def test_the_run_names_classes_that_a_map_of_classes_does_not(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    file = write_map_file(run / "n-w8a8-static.tflite", "unet", "classes")
    labels = [f"name {k}" for k in range(5)]
    report = {"model": "n", "files": [{"path": file.name}], "data": {"labels": labels}}
    (run / "report.json").write_text(json.dumps(report))
    local(run, tmp_path / "there")
    record = json.loads((tmp_path / "there/model.json").read_text())
    assert record["labels"] == labels
    assert (record["fit"], record["margin"]) == ("pad", [127] * 3)
    assert len(record["colors"]) == 255
    assert preprocessing().margin == (127,) * 3
