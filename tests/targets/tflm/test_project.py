"""The sources: compiled by the host's compiler, and their program run."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from described import embed
from planted import write_files
from tflm_stub import build
from tiny_classifier import IMAGENET, LABELS
from tiny_tflite import CLASSES, SIZE, TinyModel, float_io, int8_io

from edgekit.cli import run
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import CompileError, UsageError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets import registry
from edgekit.targets.deploy.material import Material, Project
from edgekit.targets.deploy.model import Expected, describe, find_source
from edgekit.targets.deploy.project import write_project
from edgekit.targets.tflm.project import arena_size, write_sources
from edgekit.targets.tflm.target import TFLMTarget
from edgekit.targets.tflm.toolchain import TOOLCHAIN

MEMORY = {"arena": 3000, "persistent": 1800, "non-persistent": 1200, "model": 9000}
HOSTILE = ('a"b\\', "new\nline", "ü→", "*/ // ??/", "%s%d")
CASES = {
    "uint8": (TinyModel(), IMAGENET),
    "int8": (int8_io(scale=1.0, zero_point=-128), Preprocessing(SIZE, (0.0,) * 3, (1.0,) * 3, ())),
    "int8 of another scale": (int8_io(scale=0.02, zero_point=3), IMAGENET),
    "float32": (float_io(), IMAGENET),
}
PIXELS = np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def material(folder: Path, name: str, labels: tuple[str, ...] = LABELS) -> Material:
    tiny, preprocessing = CASES[name]
    path = folder / "tiny.tflite"
    described = {"name": "n", "description": "d", "labels": labels}
    path.write_bytes(embed(tiny.pack(), preprocessing=preprocessing, **described))
    source = find_source(path)
    return Material(source, describe(source), Expected(PIXELS, None, "", "test picture"))


def fed(of: Material) -> np.ndarray:
    """What the stub's echo answers: the first values of the input, in the output's type."""
    first = LiteRT(of.source.path).feed(PIXELS).reshape(-1)[:CLASSES]
    with np.errstate(invalid="ignore"):
        return first.astype(of.source.scores.dtype)


@pytest.mark.parametrize("name", CASES)
def test_the_program_compiles_and_feeds_as_litert_does(tmp_path, name):
    given = material(tmp_path, name)
    sources = tmp_path / "sources"
    sources.mkdir()
    for file, contents in write_sources(given, MEMORY, fed(given)).items():
        (sources / file).write_bytes(contents)
    ran = subprocess.run([build(sources, tmp_path)], capture_output=True, text=True)
    assert f"0 of {CLASSES} outputs differ from those expected" in ran.stdout
    assert f"arena: 123 of {arena_size(3000)} bytes used" in ran.stdout
    assert ran.returncode == 0
    best = int(fed(given).argmax())
    assert f"best: {best} {LABELS[best]}, expected: {best};" in ran.stdout
    output = given.source.scores
    for index, raw in enumerate(fed(given)):
        zero_point, scale = output.zero_point or 0, output.scale or 1.0
        real = (float(raw) - zero_point) * scale
        (said,) = re.findall(rf"^{index} {LABELS[index]}: (-?\d+\.\d{{3}})$", ran.stdout, re.M)
        assert float(said) == pytest.approx(real, abs=0.00101)


def test_a_wrong_answer_is_said_and_ends_with_1(tmp_path):
    given = material(tmp_path, "uint8")
    sources = tmp_path / "sources"
    sources.mkdir()
    wrong = fed(given)
    wrong[int(wrong.argmin())] = 255
    for file, contents in write_sources(given, MEMORY, wrong).items():
        (sources / file).write_bytes(contents)
    ran = subprocess.run([build(sources, tmp_path)], capture_output=True, text=True)
    assert "1 of 5 outputs differ" in ran.stdout
    assert ran.returncode == 1


def test_labels_cannot_be_code(tmp_path):
    given = material(tmp_path, "uint8")
    record = given.description.record | {"labels": list(HOSTILE), "file": "x\\\n#error.tflite"}
    description = replace(given.description, labels=HOSTILE, record=record)
    given = Material(given.source, description, given.expected)
    sources = tmp_path / "sources"
    sources.mkdir()
    for file, contents in write_sources(given, MEMORY, fed(given)).items():
        (sources / file).write_bytes(contents)
    ran = subprocess.run([build(sources, tmp_path)], capture_output=True, text=True)
    assert all(label in ran.stdout for label in HOSTILE)


def test_the_array_is_the_file(tmp_path):
    given = material(tmp_path, "uint8")
    files = write_sources(given, MEMORY, fed(given))
    text = files["model.cc"].decode()
    numbers = re.findall(r"\d+", text[text.index("= {") :])
    assert bytes(map(int, numbers)) == given.source.path.read_bytes()
    assert "alignas(16) const std::uint8_t kModel[]" in text
    assert f"kModelSize = {len(numbers)};" in files["model.h"].decode()
    assert "MicroMutableOpResolver<7>" in files["ops.h"].decode()
    assert files["ops.h"].decode().count("resolver.Add") == 7


def test_the_arena_has_its_margin_in_whole_units():
    assert arena_size(1000) == 2048
    assert arena_size(578864) == 636928
    assert arena_size(578864) >= 1.1 * 578864


@pytest.fixture
def measured(monkeypatch):
    """The target with memory that was measured elsewhere, and an answer likewise."""

    def project(self, given: Material) -> Project:
        return Project(write_sources(given, MEMORY, np.zeros(CLASSES, np.uint8)), "run elsewhere")

    monkeypatch.setattr(TFLMTarget, "project", project)


def test_the_command_writes_a_folder_and_replaces_only_its_own(tmp_path, capsys, measured):
    path = material(tmp_path, "uint8").source.path
    out = tmp_path / "out"
    for _ in range(2):
        assert run(["deploy", str(path), "--tflm", str(out)]) == 0
    said = capsys.readouterr().out
    assert "check: run elsewhere" in said
    record = json.loads((out / "model.json").read_text())
    assert sorted(record["files"]) == sorted(file.name for file in out.iterdir())
    assert (out / "labels.txt").read_text().split() == list(LABELS)
    (out / "mine.cc").write_text("int x;")
    assert run(["deploy", str(path), "--tflm", str(out)]) == 2
    assert "would be lost" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--android"], ["--device", "local:"], ["--to", "x"]])
def test_what_is_for_devices_is_refused_beside_it(tmp_path, capsys, measured, more):
    path = material(tmp_path, "uint8").source.path
    assert run(["deploy", str(path), "--tflm", str(tmp_path / "out"), *more]) == 2
    assert f"leave {more[0]} out" in capsys.readouterr().err


def test_a_file_that_does_not_suit_is_refused_first(tmp_path):
    tiny = TinyModel()
    tiny.tensor("gate").quantization.scale = [1 / 255]
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny.pack())
    with pytest.raises(CompileError, match="is not for TFLite Micro"):
        write_project(registry.find("tflm"), path, tmp_path / "out")
    with pytest.raises(UsageError, match="no finished run"):
        write_project(registry.find("tflm"), tmp_path, tmp_path / "out")


def test_without_the_interpreter_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "none"))
    if TOOLCHAIN.is_beside_us:
        pytest.skip("the interpreter is in this environment")
    path = material(tmp_path, "uint8").source.path
    assert run(["deploy", str(path), "--tflm", str(tmp_path / "out")]) == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.chips
@pytest.mark.skipif(
    not TOOLCHAIN.is_installed, reason="needs tflite-micro (edgekit toolchain install tflm)"
)
@pytest.mark.parametrize("name", ["uint8", "float32"])
def test_the_answer_expected_is_that_of_the_interpreter(tmp_path, name):
    path = material(tmp_path, name).source.path
    done = write_project(registry.find("tflm"), path, tmp_path / "out")
    assert done.checked.startswith(f"run here by TFLite Micro {TOOLCHAIN.version} on test picture")
    text = (tmp_path / "out/test_image.cc").read_text()
    expected = re.findall(r"-?[\d.e+-]+", text[text.index("kExpected") :].partition("{")[2])
    image = re.findall(r"\d+", text[text.index("kTestImage") :].partition("{")[2].partition("}")[0])
    pixels = np.array(image, np.uint8).reshape(1, SIZE, SIZE, 3)
    (reals,) = LiteRT(path, kernels="reference").run(pixels)
    output = find_source(path).scores
    scale, zero_point = output.scale or 1.0, output.zero_point or 0
    found = (np.array(expected[:CLASSES], np.float64) - zero_point) * scale
    np.testing.assert_allclose(found, reals, rtol=1e-5)


@pytest.mark.chips
@pytest.mark.skipif(
    not TOOLCHAIN.is_installed or "TFLM" not in os.environ,
    reason="needs tflite-micro (edgekit toolchain install tflm) and TFLM=FOLDER, a checkout of "
    "tensorflow/tflite-micro whose library is built (make -f … microlite)",
)
def test_the_real_library_answers_as_the_interpreter_does(tmp_path):
    write_files(tmp_path, "b0")
    out = tmp_path / "out"
    write_project(registry.find("tflm"), tmp_path / "int8.tflite", out)
    subprocess.run(["make", "-s"], cwd=out, check=True)  # its variables are of the environment
    ran = subprocess.run([out / "classify"], capture_output=True, text=True, check=True)
    assert "0 of 6 outputs differ" in ran.stdout + ran.stderr
