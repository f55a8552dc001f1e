from __future__ import annotations

import pytest

from edgekit.errors import CompileError
from edgekit.search.estimates import estimate, estimates_folder, key
from edgekit.targets.ethosu.options import VelaOptions
from edgekit.targets.ethosu.target import EthosUTarget
from edgekit.targets.executions import ChipFigures


class Counting(EthosUTarget):
    """A target that counts how often it is asked."""

    def __init__(self, options=None) -> None:
        super().__init__(options)
        self.asked = 0

    def estimate(self, path):
        self.asked += 1
        return ChipFigures(latency_ms=5.0, latency_by="a test", memory={"SRAM": 7})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"one")
    return path


def test_the_same_is_asked_once(path, tmp_path):
    target, folder = Counting(), tmp_path / "kept"
    first, again = estimate(path, target, folder), estimate(path, target, folder)
    assert first == again == ChipFigures(latency_ms=5.0, latency_by="a test", memory={"SRAM": 7})
    assert target.asked == 1


def test_another_file_or_option_is_another_question(path, tmp_path):
    first = key(path, EthosUTarget())
    assert key(path, EthosUTarget(VelaOptions(config="ethos-u55-256"))) != first
    path.write_bytes(b"two")
    assert key(path, EthosUTarget()) != first


def test_what_a_file_that_an_option_names_holds_decides_too(path, tmp_path):
    ini = tmp_path / "own.ini"
    options = VelaOptions(ini=str(ini), system_config="A", memory_mode="B")
    ini.write_text("[System_Config.A]\ncore_clock=1e6\n")
    first = key(path, EthosUTarget(options))
    ini.write_text("[System_Config.A]\ncore_clock=2e6\n")
    assert key(path, EthosUTarget(options)) != first


def test_a_damaged_cache_is_asked_anew(path, tmp_path):
    target, folder = Counting(), tmp_path / "kept"
    estimate(path, target, folder)
    for kept in folder.iterdir():
        kept.write_text("{")
    assert estimate(path, target, folder).latency_ms == 5.0
    assert target.asked == 2


def test_a_failure_is_not_kept(path, tmp_path):
    class Failing(Counting):
        def estimate(self, path):
            super().estimate(path)
            raise CompileError("no")

    target = Failing()
    for _ in range(2):
        with pytest.raises(CompileError):
            estimate(path, target, tmp_path / "kept")
    assert target.asked == 2


def test_a_cache_that_cannot_be_written_costs_nothing_else(path, tmp_path):
    (tmp_path / "kept").write_text("a file")
    assert estimate(path, Counting(), tmp_path / "kept").latency_ms == 5.0


def test_it_is_beside_the_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    assert estimates_folder() == tmp_path / "estimates"
