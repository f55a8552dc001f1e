"""``edgekit.toml``: what it may hold, and what is written for people to edit."""

from __future__ import annotations

import re

import pytest

from edgekit.errors import UsageError
from edgekit.options.build import GROUPS, BuildOptions
from edgekit.options.fields import option_name
from edgekit.options.files import read_options, template


def test_options_are_read_by_their_names(tmp_path):
    path = tmp_path / "edgekit.toml"
    path.write_text('model = "lite0"\nmax-drop = 1\ntarget = "edgetpu"\nschemes = []\n'[:-13])
    assert read_options(path) == {"model": "lite0", "max_drop": 1, "targets": ["edgetpu"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('modl = "b0"', "there is no option 'modl'"),
        ('epochs = "many"', "--epochs must be a whole number"),
        ("epochs = -1", "--epochs must not be negative"),
        ('quantize = "int4"', "--quantize 'int4' is not known"),
        ('model = "b9"', "unknown model 'b9'"),
        ("epochs = ", "is no TOML"),
        ("[model]\nname = 1", "edgekit.toml: "),
    ],
)
def test_what_cannot_be_used_is_said_with_the_file(tmp_path, text, says):
    path = tmp_path / "edgekit.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        read_options(path)
    assert "edgekit.toml" in caught.value.message


def test_a_template_is_read_as_what_it_says(tmp_path):
    path = tmp_path / "edgekit.toml"
    values = {"model": "b0", "data": 'a "folder"', "targets": ["tflite"], "max_drop": 0.5}
    path.write_text(template(values, "Two\nlines."))
    assert read_options(path) == values


def test_every_default_of_a_template_can_be_taken(tmp_path):
    text = template({"model": "b0"}, "")
    commented = re.findall(r"^#([a-z-]+) = (.+)$", text, re.MULTILINE)
    assert len(commented) > 20
    path = tmp_path / "edgekit.toml"
    for name, value in commented:
        path.write_text(f"{name} = {value}\n")
        (field,) = read_options(path)
        made = BuildOptions.make("b0", **{field: read_options(path)[field]})
        assert getattr(made, field) == BuildOptions.__dataclass_fields__[field].default


def test_a_template_has_every_option_once_under_its_group():
    text = template({"model": "b0"}, "")
    for name in BuildOptions.__dataclass_fields__:
        assert len(re.findall(rf"^#?{option_name(name)} =", text, re.MULTILINE)) == 1
    assert re.findall(r"^# == (.*) ==$", text, re.MULTILINE) == list(GROUPS)
    assert max(map(len, text.splitlines())) < 100
