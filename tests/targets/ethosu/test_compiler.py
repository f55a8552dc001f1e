from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_tflite import TinyModel
from vela_outputs import RECORDED, recorded, text

from edgekit.converters.tflite import container
from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import CompileError, EdgekitError, UsageError
from edgekit.targets.base import NothingMappedError
from edgekit.targets.ethosu.compiler import read_outcome, write_compiled
from edgekit.targets.ethosu.options import VelaOptions
from edgekit.targets.toolchains.work import Done


def test_the_model_its_log_and_its_table_are_written(tmp_path):
    path, made = recorded("partly", tmp_path)
    compiled = write_compiled(path, made, tmp_path / "out")
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["partly_vela.csv", "partly_vela.log", "partly_vela.tflite"]
    assert compiled.log.read_text() == text("partly.log")
    assert (compiled.mapped, compiled.on_cpu) == (6, 2)
    assert compiled.chip == made.chip
    (figures,) = compiled.figures
    assert Path(figures["summary_file"]).read_text() == text("partly.csv")
    assert len(figures["operators"]) == 8
    assert compiled.summary.startswith("partly.tflite: 6 of 8 operators on the NPU")


def test_the_files_behind_the_model_are_put_back(tmp_path):
    path, made = recorded("whole", tmp_path)
    path.write_bytes(container.pack(path.read_bytes(), {"labels.txt": b"cat\ndog\n"}))
    compiled = write_compiled(path, made, tmp_path / "out")
    assert container.unpack(compiled.model.read_bytes()) == {"labels.txt": b"cat\ndog\n"}
    assert "ethos-u" in tflite_file.read(compiled.model).custom_codes


def test_where_nothing_is_mapped_nothing_is_written(tmp_path):
    path, made = recorded("whole", tmp_path)
    made = replace(made, refused=("no operator of it runs on the NPU: float",))
    with pytest.raises(NothingMappedError, match="holds nothing for the NPU"):
        write_compiled(path, made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    path, made = recorded("whole", tmp_path)
    with pytest.raises(EdgekitError, match="cannot compile into"):
        write_compiled(path, made, path / "out")


def test_options_that_vela_refuses_are_the_users(tmp_path):
    model = tflite_file.parse(TinyModel().pack())
    options = VelaOptions(memory_mode="Dedicated_Sram")
    done = Done({"misuse": "Invalid configuration of arena_mem_area"}, {}, "", 1.0)
    with pytest.raises(UsageError, match="does not take the options for ethos-u55-128"):
        read_outcome(tmp_path / "a.tflite", model, options, done)


def test_a_damaged_output_is_a_compile_error(tmp_path):
    model = tflite_file.parse(TinyModel().pack())
    done = Done({"summary": text("whole.csv")}, {"model": np.zeros(9, np.uint8)}, "", 1.0)
    with pytest.raises(CompileError, match="is not a TFLite model"):
        read_outcome(tmp_path / "a.tflite", model, VelaOptions(), done)


def test_a_limit_of_sram_is_met_or_not(tmp_path):
    model = tflite_file.parse(TinyModel().pack())
    contents = np.frombuffer((RECORDED / "whole_vela.tflite").read_bytes(), np.uint8)
    done = Done({"summary": text("whole.csv")}, {"model": contents}, text("whole.log"), 1.0)
    for sram, fits in (("1K", False), ("2K", True), (None, None)):
        options = VelaOptions(config="ethos-u85-256", sram=sram)
        assert read_outcome(tmp_path / "a.tflite", model, options, done).chip.fits is fits


def test_where_all_is_in_sram_the_constants_count_too(tmp_path):
    model = tflite_file.parse(TinyModel().pack())
    contents = np.frombuffer((RECORDED / "whole_vela.tflite").read_bytes(), np.uint8)
    header, row = text("partly.csv").splitlines()[:2]
    names, values = header.split(","), row.split(",")
    values[names.index("on_chip_flash_memory_used")] = "2.0"  # as Vela calls the constants then
    values[names.index("off_chip_flash_memory_used")] = "0.0"
    table = f"{header}\n{','.join(values)}\n"
    done = Done({"summary": table}, {"model": contents}, text("partly.log"), 1.0)
    options = VelaOptions(memory_mode="Sram_Only")
    found = read_outcome(tmp_path / "a.tflite", model, options, done)
    assert found.chip.memory == {"SRAM": 960 + 2048}
