from __future__ import annotations

import json

import pytest
from narrow import narrow
from places import SHARED
from prerequisites import skip_without
from tiny_tflite import TinyModel
from vela_outputs import RECORDED, needs_vela, recorded

from edgekit.cli import run
from edgekit.converters.tflite import container
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.untrained import write_untrained
from edgekit.converters.tflite.write import convert
from edgekit.errors import CompileError, MissingToolError, UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.passes import prepare
from edgekit.targets.base import Examination
from edgekit.targets.ethosu.options import VelaOptions
from edgekit.targets.ethosu.target import EthosUTarget


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "none"))
    if EthosUTarget.toolchains[0].is_beside_us:
        pytest.skip("Vela is in edgekit's own environment")


def test_a_compiled_file_is_not_examined(tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes((RECORDED / "whole_vela.tflite").read_bytes())
    with pytest.raises(UsageError, match="compiled for Arm's Ethos-U already"):
        EthosUTarget().examine(path)


def test_what_has_been_examined_is_not_compiled_again(tmp_path):
    path, made = recorded("whole", tmp_path)
    examined = Examination(path, None, (), made)
    assert EthosUTarget().compile(examined, tmp_path).model.name == "whole_vela.tflite"


def test_the_source_of_a_compiled_file_is_beside_it(tmp_path):
    path = tmp_path / "a.tflite"
    path.touch()
    assert EthosUTarget().source_of(tmp_path / "a_vela.tflite") == path
    assert EthosUTarget().source_of(path) is None


def test_files_of_one_name_are_not_compiled_into_one_folder(tmp_path):
    with pytest.raises(UsageError, match="two files are called a"):
        EthosUTarget().compile_files(
            [tmp_path / "a.tflite", tmp_path / "b" / "a.tflite"], tmp_path, VelaOptions()
        )


def test_inspect_describes_a_compiled_file(tmp_path, capsys):
    path = tmp_path / "a_vela.tflite"
    path.write_bytes((RECORDED / "whole_vela.tflite").read_bytes())
    assert run(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "compiled for Arm's Ethos-U" in shown
    assert "NPU          ethos-u85-256" in shown


@pytest.mark.usefixtures("nothing_installed")
def test_without_vela_the_command_that_installs_it_is_named(tmp_path, capsys):
    path = tmp_path / "a.tflite"
    path.write_bytes(TinyModel().pack())
    assert run(["check", str(path), "--target", "ethosu"]) == MissingToolError.exit_code
    said = capsys.readouterr().err
    assert "Arm's Vela is not installed" in said
    assert "edgekit toolchain install ethosu" in said


@pytest.mark.chips
@needs_vela
def test_check_prints_what_vela_maps(tmp_path, capsys):
    path = tmp_path / "b0.tflite"
    path.write_bytes(write_untrained(SPECS["b0"], 64, classes=10))
    words = ["check", str(path), "--target", "ethosu", "--min-mapped", "100"]
    assert run(words) == 0
    assert "240 of 240 operators (100.0 %), 0 on the CPU" in capsys.readouterr().out
    assert run([*words, "--json", "--config", "ethos-u85-256"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["operators_on_cpu"] == 0
    assert document["accelerator"] == "ethos-u85-256"
    assert document["notes"] == []  # Vela had nothing to warn of
    assert document["memory_bytes"].keys() == {"SRAM", "DRAM"}


@pytest.mark.chips
@needs_vela
@pytest.mark.parametrize("config", ["ethos-u55-32", "ethos-u65-512", "ethos-u85-2048"])
def test_each_family_compiles_and_the_file_says_which(config, tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(container.pack(TinyModel().pack(), {"labels.txt": b"a\nb\n"}))
    (made,) = EthosUTarget().compile_files([path], tmp_path, VelaOptions(config=config))
    model = tflite_file.read(made.model)
    (part,) = EthosUTarget().describe_compiled(model)["parts"]
    assert part["accelerator"] == config
    assert container.unpack(made.model.read_bytes()) == {"labels.txt": b"a\nb\n"}
    assert made.chip.latency_by == f"Vela's estimate for {config}"


@pytest.mark.chips
@needs_vela
def test_less_sram_is_kept_to(tmp_path):
    path = tmp_path / "lite0.tflite"
    path.write_bytes(write_untrained(SPECS["lite0"], 128))
    free = EthosUTarget().estimate(path).memory["SRAM"]
    found = EthosUTarget(VelaOptions(sram=str(free * 3 // 4))).estimate(path)
    assert found.memory["SRAM"] <= free * 3 // 4
    assert found.fits


@pytest.mark.chips
@needs_vela
def test_a_float_file_is_on_the_cpu_with_reasons_and_not_compiled(tmp_path):
    path = tmp_path / "float.tflite"
    path.write_bytes(convert(prepare(build_graph(narrow("lite0"), resolution=32))))
    examined = EthosUTarget().examine(path)
    assert examined.prediction.mapped == 0
    assert "unsupported DataType Float32" in examined.refusals[0].message
    assert "quantize it to int8" in examined.refusals[0].fix
    with pytest.raises(CompileError, match="holds nothing for the NPU"):
        EthosUTarget().compile(examined, tmp_path)


@pytest.mark.chips
@needs_vela
def test_a_memory_mode_that_does_not_suit_the_system_is_explained(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    target = EthosUTarget(VelaOptions(memory_mode="Dedicated_Sram"))
    with pytest.raises(UsageError, match="does not take the options") as caught:
        target.examine(path)
    assert "arena_mem_area" in caught.value.cause


@pytest.mark.chips
@needs_vela
def test_a_network_of_many_parts_that_velas_own_listing_fails_on_is_read():
    path = SHARED / "edgetpu/pairs/deeplabv3_mnv2_dm05_pascal_quant.tflite"
    if not path.is_file():
        skip_without("shared")
    found = EthosUTarget().examine(path).prediction
    assert (found.mapped, found.on_cpu) == (71, 1)
    assert "unsupported scale-factor=16" in found.obstacle[0]
