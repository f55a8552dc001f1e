from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.targets.ethosu.options import ACCELERATORS, MODES, SYSTEMS, VelaOptions


def test_by_default_vela_is_asked_for_what_it_falls_back_on_and_does_not_warn():
    words = VelaOptions().words()
    assert words[:2] == ["--accelerator-config", "ethos-u55-128"]
    assert words[2:4] == ["--config", "Arm/vela.ini"]
    assert words[4:8] == [
        *("--system-config", "Ethos_U55_High_End_Embedded"),
        *("--memory-mode", "Shared_Sram"),
    ]
    assert "--arena-cache-size" not in words


@pytest.mark.parametrize("config", ACCELERATORS)
def test_each_accelerator_has_a_system_and_a_memory_mode_of_its_family(config):
    options = VelaOptions(config=config)
    assert options.system in SYSTEMS
    assert options.memory in MODES
    assert options.system.lower().startswith(options.family.replace("-", "_"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config": "ethos-u55-127"}, "--config 'ethos-u55-127' does not exist"),
        ({"system_config": "Ethos"}, "--system-config 'Ethos' does not exist"),
        ({"memory_mode": "Shared"}, "--memory-mode 'Shared' does not exist"),
        ({"optimise": "Speed"}, "--optimise 'Speed' does not exist"),
        ({"ini": "own.ini"}, "--ini needs --system-config and --memory-mode"),
        ({"ini": "own.ini", "system_config": "Own"}, "--ini needs"),
        ({"sram": "1 X"}, "--sram '1 X' is no size"),
        ({"sram": "0"}, "--sram '0' is no size"),
        ({"timeout_s": 0}, "--timeout 0 is less than 1 second"),
    ],
)
def test_what_does_not_exist_is_refused_before_vela_is_started(changes, says):
    with pytest.raises(UsageError, match=says):
        VelaOptions(**changes)


def test_sections_of_an_ini_file_of_ones_own_are_not_known():
    options = VelaOptions(ini="own.ini", system_config="My_Board", memory_mode="My_Mode")
    words = options.words()
    assert words[words.index("--config") + 1].endswith("/own.ini")
    assert words[words.index("--system-config") + 1] == "My_Board"


@pytest.mark.parametrize(("given", "count"), [("512K", 524288), ("1M", 1 << 20), ("4096", 4096)])
def test_sram_is_in_units_of_1024(given, count):
    assert VelaOptions(sram=given).words()[-2:] == ["--arena-cache-size", str(count)]
