from __future__ import annotations

import json

import pytest
from vela_outputs import needs_vela

from edgekit.cli import run
from edgekit.errors import GateError, UsageError

SMALL = ["--models", "lite0", "--widths", "0.1", "--resolutions", "32,64", "--classes", "5"]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))


def test_a_table_of_what_fits_and_the_commands_that_build_it(capsys):
    assert run(["choose", "--target", "tflite", "--latency", "1000", *SMALL]) == 0
    shown, said = capsys.readouterr()
    assert shown.splitlines()[1].startswith("lite0-w0.1    64")
    assert "ms: measured here: LiteRT" in shown
    assert "2 of 2 networks fit" in said
    assert "edgekit build lite0 --data PHOTOS --width 0.1 --resolution 64 --target tflite" in said


def test_where_nothing_fits_it_ends_with_5_and_names_the_nearest(capsys):
    words = ["choose", "--target", "tflite", "--size", "1K", *SMALL]
    assert run(words) == GateError.exit_code
    shown, said = capsys.readouterr()
    assert shown == ""
    assert "none of 2 networks fits" in said
    assert run([*words, "--all"]) == GateError.exit_code
    assert "not 1 KiB" in capsys.readouterr().out


def test_json_has_all_of_them(capsys):
    words = ["choose", "--target", "tflite", "--latency", "1000", "--max-drop", "1", "--json"]
    assert run([*words, *SMALL]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["target"] == "tflite"
    assert document["limits"]["max_drop"] == 1
    assert {one["resolution"] for one in document["choices"]} == {32, 64}
    assert all(one["fits"] and one["figures"]["latency_ms"] > 0 for one in document["choices"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "without a limit everything fits"),
        (["--sram", "1M"], "--sram is not for the target tflite"),
        (["--size", "big"], "--size 'big' is no size"),
        (["--latency", "1", "--widths", "wide"], "--widths takes numbers"),
        (["--latency", "1", "--models", "lite9"], "lite9"),
        (["--latency", "1", "--config", "ethos-u55-128"], "the target tflite has no option"),
    ],
)
def test_what_makes_no_sense_is_refused(words, says, capsys):
    assert run(["choose", "--target", "tflite", *words]) == UsageError.exit_code
    assert says in capsys.readouterr().err


@pytest.mark.chips
@needs_vela
def test_the_command_of_the_manual(capsys):
    words = ["choose", "--target", "ethosu", "--config", "ethos-u55-128"]
    words += ["--sram", "1M", "--latency", "20", "--models", "lite0"]
    assert run(words) == 0
    assert "Vela's estimate for ethos-u55-128" in capsys.readouterr().out
