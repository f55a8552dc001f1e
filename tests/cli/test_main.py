"""The command line: exit codes, the form of errors, where things are printed."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from places import ROOT
from tiny_tflite import TinyModel

import edgekit
from edgekit.cli import run
from edgekit.cli.build import command
from edgekit.options.build import BuildOptions
from edgekit.options.fields import option_name


def edgekit_command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", "from edgekit.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


def test_help_lists_the_commands_and_the_exit_codes():
    done = edgekit_command("--help")
    assert done.returncode == 0
    for word in ("build", "models", "inspect", "130 interrupted"):
        assert word in done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from edgekit.cli import run\n"
        "run(['--help'])\n"
        "heavy = {'torch', 'tensorflow', 'numpy', 'PIL', 'rich', 'safetensors', 'jinja2'}\n"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from edgekit.cli import run
print([run(line.split()) for line in sys.stdin.read().splitlines()])
"""


@pytest.mark.slow
def test_what_only_looks_at_files_needs_no_torch(tmp_path):
    (tmp_path / "m.tflite").write_bytes(TinyModel().pack())
    for k in range(14):
        path = tmp_path / f"photos/{'cat' if k % 2 else 'dog'}/{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (k, k, k)).save(path)
    lines = ("inspect m.tflite", "check m.tflite --target edgetpu", "init photos", "build")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        cwd=tmp_path,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 3]", done.stderr
    assert done.stderr.splitlines()[-3:] == [
        "error: this needs the package torch",
        "cause: it is not installed, though a plain installation brings it",
        "try:   pip install edgekit",
    ]


def test_build_has_an_option_for_every_field(capsys):
    assert run(["build", "--help-all"]) == 0
    shown = capsys.readouterr().out
    for name in BuildOptions.__dataclass_fields__:
        if name != "model":
            assert f"--{option_name(name)}" in shown
    assert command.__doc__


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["build", "b9"], 2, ["unknown model 'b9'", "did you mean 'b0'"]),
        (["build", "b0", "--target", "edgetpv"], 2, ["unknown target", "edgetpu"]),
        (["build", "b0", "--data", "/nowhere"], 2, ["/nowhere"]),
        (["build", "b0", "--weights", "/nowhere.pth"], 2, ["/nowhere.pth"]),
        (["build", "b0", "--io", "uint16", "--dry-run"], 2, ["uint16", "uint8"]),
        (["build", "b0", "--ranges", "mean", "--dry-run"], 2, ["mean", "mse"]),
        (["build", "b0", "--epochs", "-1"], 2, ["--epochs"]),
        (["build", "b0", "--epochs", "many"], 2, ["--epochs"]),
        (["build", "b0", "--no-such-option"], 2, ["--no-such-option"]),
        (["build"], 2, ["model"]),
        (["models", "b9"], 2, ["did you mean"]),
        (["inspect", "/nowhere.tflite"], 2, ["/nowhere.tflite"]),
        (["bild"], 2, ["bild"]),
    ],
)
def test_bad_requests(arguments, code, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    for word in words:
        assert word in captured.err
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback():
    done = edgekit_command("build", "b9", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "error: unknown model 'b9'" in done.stderr


def test_a_fault_of_ours_asks_for_a_report(monkeypatch, capsys):
    def fail(name):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("edgekit.networks.efficientnet.catalog.list_models", fail)
    assert run(["models"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ZeroDivisionError: by zero")
    assert "--debug" in shown


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"edgekit {edgekit.__version__}\n"


def test_models_as_json(capsys):
    assert run(["models", "lite0", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["parameters"] == 4_652_008


def test_models_as_a_table(capsys):
    assert run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["b0", "5,288,548", "386"]


def test_the_api_exports_what_it_promises():
    for name in edgekit.__all__:
        assert getattr(edgekit, name) is not None
    assert set(edgekit.__all__) <= set(dir(edgekit))
    with pytest.raises(AttributeError):
        edgekit.no_such_name  # noqa: B018


def test_an_unknown_keyword_gets_a_suggestion():
    with pytest.raises(edgekit.EdgekitError, match="did you mean 'epochs'"):
        edgekit.build("b0", epoch=3)
