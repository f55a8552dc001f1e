"""Help of commands with many options: a few at first, all of them in groups."""

from __future__ import annotations

import re

import pytest

from edgekit.cli import run
from edgekit.options.build import BUILD_ONLY, EVERYDAY, GROUPS, BuildOptions, group_of
from edgekit.options.fields import option_name


def shown(capsys, *words):
    assert run([*words]) == 0
    return capsys.readouterr().out


def names(text):
    return set(re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.MULTILINE))


@pytest.mark.parametrize("command", ["build", "train"])
def test_a_first_look_shows_what_is_needed_every_day(capsys, command):
    without = BUILD_ONLY if command == "train" else ()
    wanted = {option_name(name) for name in EVERYDAY if name not in without}
    assert names(shown(capsys, command, "--help")) == wanted | {
        "json",
        "quiet",
        "help",
        "help-all",
    }
    assert 8 <= len(EVERYDAY) <= 12


def test_all_are_shown_in_groups(capsys):
    text = shown(capsys, "build", "--help-all")
    titles = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert titles[1:-1] == list(GROUPS)  # between the arguments and what is printed
    fields = {option_name(name) for name in BuildOptions.__dataclass_fields__} - {"model"}
    assert fields <= names(text.replace("--no-", "--"))
    assert "--quantize [ranges|ptq|qat|auto]" in text
    assert "--io [" in text
    trained = shown(capsys, "train", "--help-all")
    assert "Devices:" not in trained
    assert "devices" not in shown(capsys, "train", "--help").partition("More:")[2]


def test_every_field_is_in_one_group():
    for name in BuildOptions.__dataclass_fields__:
        assert group_of(name) in GROUPS
    assert group_of("json_output") is None
