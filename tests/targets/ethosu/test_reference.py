from __future__ import annotations

import numpy as np
import pytest
from map_files import contents, photo
from planted import CLASSES, SIDE, write_files
from tiny_tflite import TinyModel, float_io
from vela_outputs import needs_tosa

from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import MissingToolError
from edgekit.runtimes.answer import TFLiteAnswer
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.ethosu.reference import execution, in_own_type, run_reference
from edgekit.targets.ethosu.tools import TOSA


def test_the_row_says_what_runs_it_and_claims_to_be_exact():
    found = execution()
    assert (found.row, found.of, found.exact) == ("w8a8-tosa", "w8a8", True)
    assert found.runtime == f"Arm's TOSA reference model {TOSA.version}"
    assert TOSA.pinned.startswith("2026.8")


def test_signed_answers_of_an_unsigned_output_are_read_by_their_bits():
    model = tflite_file.parse(TinyModel().pack())
    output = model.tensors[model.outputs[0]]
    answers = np.array([[-128, -1, 0, 3, 127]], np.int8)
    wanted = (np.array([[128, 255, 0, 3, 127]]) - np.float32(131)) * np.float32(0.2)
    found = TFLiteAnswer.of(model).read_all([in_own_type(answers, output)])
    assert (found == wanted.astype(np.float32)).all()


def test_answers_of_a_float_output_are_left_alone():
    model = tflite_file.parse(float_io().pack())
    answers = np.array([[0.5, -1.0]], np.float32)
    output = model.tensors[model.outputs[0]]
    assert (TFLiteAnswer.of(model).read_all([in_own_type(answers, output)]) == answers).all()


def test_without_the_reference_model_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path))
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    photos = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(MissingToolError) as caught:
        run_reference(path, photos, lambda done, total: None)
    assert caught.value.hint == "edgekit toolchain install tosa"


@pytest.mark.chips
@needs_tosa
@pytest.mark.parametrize("name", ["b0", "lite0", "lite0 symmetric"])
def test_it_answers_bit_for_bit_as_the_reference_kernels_do(name, tmp_path):
    write_files(tmp_path, name)
    photos = np.random.default_rng(3).integers(0, 256, (12, SIDE, SIDE, 3)).astype(np.uint8)
    path, seen = tmp_path / "int8.tflite", []
    answers = run_reference(path, photos, lambda done, total: seen.append((done, total)))
    wanted = LiteRT(path, kernels="reference").run(photos)
    assert answers.outputs.shape == (12, CLASSES)
    assert (answers.outputs == wanted).all()
    assert {total for _, total in seen} == {12}


@pytest.mark.chips
@needs_tosa
def test_a_network_that_doubles_its_maps_has_the_same_bits(tmp_path):
    path = tmp_path / "unet.tflite"
    path.write_bytes(contents("unet"))
    model = LiteRT(path, kernels="reference")
    photos = np.stack([photo(model.width, model.side, seed) for seed in range(3)])
    answers = run_reference(path, photos, lambda done, total: None)
    assert (answers.outputs == model.run(photos)).all()
