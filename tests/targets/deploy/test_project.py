"""Any target's sources in a folder, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_classifier import IMAGENET, LABELS, with_metadata
from tiny_tflite import CLASSES, SIZE, TinyModel

from edgekit.converters.findings import Finding
from edgekit.errors import CompileError, UsageError
from edgekit.targets.base import Examination, Target
from edgekit.targets.deploy.material import Material, Project
from edgekit.targets.deploy.project import write_project


class Chip(Target):
    """A target whose sources are a list of the labels."""

    name, scheme = "chip", "w8a8-static"
    findings: tuple[Finding, ...] = ()

    def examine(self, path: Any, model: Any = None) -> Examination:
        return Examination(Path(path), model, self.findings)

    def project(self, material: Material) -> Project:
        assert material.expected.pixels.shape == (SIZE, SIZE, 3)
        assert material.expected.outputs is not None
        assert material.description.record["output"]["classes"] == CLASSES
        return Project({"src/labels.h": repr(material.description.labels).encode()}, "tried")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(with_metadata(TinyModel(), IMAGENET))
    return path


def test_the_folder_holds_the_sources_labels_and_a_record(tmp_path, model):
    out = tmp_path / "out"
    done = write_project(Chip(), model, out)
    assert done.files == ("src/labels.h", "labels.txt", "model.json")
    assert (done.folder, done.checked, done.command) == (str(out), "tried", None)
    assert (out / "src/labels.h").read_text() == repr(LABELS)
    assert json.loads((out / "model.json").read_text())["files"] == list(done.files)
    write_project(Chip(), model, out)  # ours is replaced


def test_what_is_not_ours_stays(tmp_path, model):
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="is something else"):
        write_project(Chip(), model, tmp_path / "out")


def test_what_the_target_refuses_is_not_written(tmp_path, model):
    chip = Chip()
    chip.findings = (Finding("error", "rule", "0 CONV_2D", "too wide", "make it narrower"),)
    with pytest.raises(CompileError, match="is not for chip") as caught:
        write_project(chip, model, tmp_path / "out")
    assert (caught.value.cause, caught.value.hint) == ("0 CONV_2D: too wide", "make it narrower")
    assert not (tmp_path / "out").exists()
