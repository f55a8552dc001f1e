"""`edgekit compile` with a stand-in for the closed compiler, here and on a real SSH server."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from prerequisites import skip_without
from ssh_server import SSHD, make_key, serve
from tiny_tflite import TinyModel

from edgekit.cli import run

STAND_IN = """\
# A stand-in for edgetpu_compiler: "compiles" every model to a file of one edgetpu-custom-op, and
# dies by SIGSEGV where a model holds the operator that CRASH names.
import os, pathlib, shutil, signal, sys
crash = {crash!r}
args = sys.argv[1:]
out = pathlib.Path(args[args.index("--out_dir") + 1])
print("Edge TPU Compiler version 16.0.384591198", flush=True)
for model in [pathlib.Path(a) for a in args if a.endswith(".tflite")]:
    if crash and crash.encode() in model.read_bytes():
        os.kill(os.getpid(), signal.SIGSEGV)
    shutil.copy({compiled!r}, out / (model.stem + "_edgetpu.tflite"))
    print(f'''
Model compiled successfully in 12 ms.

Input model: {{model}}
Input size: 6.00MiB
Output model: {{model.stem}}_edgetpu.tflite
Output size: 6.47MiB
On-chip memory used for caching model parameters: 5.90MiB
On-chip memory remaining for caching model parameters: 1.16MiB
Off-chip memory used for streaming uncached model parameters: 41.75KiB

Operator                       Count      Status

CONV_2D                        15         Mapped to Edge TPU
SOFTMAX                        1          A status that nobody has seen
''')
{end}
"""


@pytest.fixture
def compiled(tmp_path) -> Path:
    tiny = TinyModel()
    tiny.graph.operators = []
    tiny.add_op("CUSTOM", 1, ["image"], "scores")
    tiny.model.operatorCodes[-1].customCode = b"edgetpu-custom-op"
    path = tmp_path / "stand_in_output.tflite"
    path.write_bytes(tiny.pack())
    return path


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "models" / "a 'tiny' $model.tflite"
    path.parent.mkdir()
    path.write_bytes(TinyModel().pack())
    return path


@pytest.fixture
def stand_in(tmp_path, monkeypatch, compiled):
    """Puts the stand-in on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(crash: str = "", end: str = "") -> Path:
        tool = folder / "edgetpu_compiler"
        body = STAND_IN.format(crash=crash, compiled=str(compiled), end=end)
        tool.write_text(f"#!{sys.executable}\n{body}")
        tool.chmod(0o755)
        return tool

    return install


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    if SSHD is None:
        skip_without("sshd")
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch, tmp_path, compiled):
    """The server, with the stand-in installed there; a test may change the client's HOME."""
    home = shutil.copytree(running.home, tmp_path / "home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    running.client = home / ".ssh"
    body = STAND_IN.format(crash="", compiled=str(compiled), end="")
    running.install("edgetpu_compiler", body)
    yield running
    assert running.left() == []


def test_a_person_sees_table_memory_and_verdict(stand_in, model, capsys):
    stand_in()
    assert run(["compile", str(model)]) == 0
    out, err = capsys.readouterr()
    assert f"  {'CONV_2D':28} {15:>6}  Mapped to Edge TPU\n" in out
    assert f"  {'SOFTMAX':28} {1:>6}  A status that nobody has seen\n" in out
    assert "model 6.3 MB, compiled 6.8 MB; cache: 6.2 MB used, 1.2 MB free; 42.8 kB streamed" in out
    last = f"{model.name}: 15 mapped, 1 on CPU, 6.2 MB cached, 42.8 kB streamed"
    assert out.splitlines()[-1] == last
    assert "compile on this machine" in err
    assert (model.parent / f"{model.stem}_edgetpu.tflite").exists()


def test_a_person_hears_where_the_compiler_did_otherwise_than_predicted(stand_in, model, capsys):
    stand_in()
    assert run(["compile", str(model)]) == 0
    err = capsys.readouterr().err
    assert "the compiler mapped 15 operators, and our check predicted 8" in " ".join(err.split())


def test_a_layer_quantized_per_channel_is_compiled_without_being_asked_twice(stand_in, tmp_path):
    """Version 16 maps it (pair dense_256); `compile` once refused it without --force."""
    stand_in()
    tiny = TinyModel()
    for name in ("head_w", "head_b"):
        tiny.tensor(name).quantization.scale = [0.1, 0.2, 0.3, 0.4, 0.5]
        tiny.tensor(name).quantization.zeroPoint = [0] * 5
    tiny.graph.operators = [tiny.op("FULLY_CONNECTED")]
    tiny.graph.inputs, tiny.graph.outputs = [tiny.index("mean")], [tiny.index("logits")]
    path = tmp_path / "dense.tflite"
    path.write_bytes(tiny.pack())
    assert run(["compile", str(path)]) == 0


def test_json_of_two_files(stand_in, model, tmp_path, capsys, compiled):
    stand_in()
    other = shutil.copy(model, model.with_name("other.tflite"))
    out = tmp_path / "new" / "out"
    assert run(["compile", str(model), str(other), "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["target"]) == (1, "edgetpu")
    first, second = document["files"]
    assert (first["input"], second["input"]) == (str(model), str(other))
    assert first["outputs"] == [str(out / f"{model.stem}_edgetpu.tflite")]
    assert (second["mapped"], second["on_cpu"]) == (15, 1)
    assert second["compiler"][0]["output_model"] == "other_edgetpu.tflite"
    assert second["compiler"][0]["off_chip_bytes"] == 42752
    assert Path(second["outputs"][0]).read_bytes() == compiled.read_bytes()
    assert "16.0.384591198" in Path(second["log"]).read_text()


def test_all_options_reach_the_compiler(stand_in, model, tmp_path):
    tool = stand_in(end="print(args)").rename(tmp_path / "another compiler")
    line = ["--compiler", str(tool), "--min-runtime-version", "13", "--search-delegate"]
    line += ["--search-step", "3", "--intermediate-tensors", "a,b", "--multiple-subgraphs"]
    assert run(["compile", str(model), *line, "--timeout", "99"]) == 0
    log = (model.parent / f"{model.stem}_edgetpu.log").read_text()
    assert (
        "'--timeout_sec', '99', '--min_runtime_version', '13', '--search_delegate', "
        "'--delegate_search_step', '3', '--intermediate_tensors', 'a,b', "
        "'--enable_multiple_subgraphs'"
    ) in log


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{model}", "--num-segments", "1"], 2, ["--num-segments 1"]),
        (["{model}", "--min-runtime-version", "99"], 2, ["99"]),
        (["{model}", "--target", "tflite"], 2, ["not for the target tflite"]),
        (["{model}", "--target", "edgetpv"], 2, ["unknown target"]),
        (["{model}", "--compile-host", "host"], 2, ["ssh://"]),
        (["{model}", "--compile-host", "ssh://127.0.0.1:1"], 4, ["127.0.0.1:1"]),
        (["{model}", "--compiler", "/nowhere/compiler"], 3, ["/nowhere/compiler", "x86-64"]),
        (["{model}", "{model}"], 2, ["two files of the name"]),
        (["{model}", "{model}", "--bisect"], 2, ["--bisect takes one file"]),
        (["/nowhere.tflite"], 2, ["/nowhere.tflite"]),
        (["/nowhere.tflite", "--bisect"], 2, ["/nowhere.tflite"]),
        ([], 2, ["files"]),
    ],
)
def test_bad_requests(stand_in, model, capsys, arguments, code, words):
    stand_in(end="raise AssertionError")
    assert run(["compile", *(word.format(model=model) for word in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    for word in words:
        assert word in err
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_a_rejection_shows_what_the_compiler_said(stand_in, model, capsys):
    stand_in(end="print('Something that nobody knows'); sys.exit(1)")
    assert run(["compile", str(model)]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert "Something that nobody knows" in err
    assert f"{model.stem}_edgetpu.log" in err


def test_our_check_comes_first_unless_forced(stand_in, model, capsys):
    stand_in()
    tiny = TinyModel()
    tiny.tensor("image").shape = [2, 8, 8, 3]
    model.write_bytes(tiny.pack())
    assert run(["compile", str(model)]) == 6
    assert "batch" in capsys.readouterr().err
    assert run(["compile", str(model), "--force"]) == 0


def test_bisect_finds_the_operator_and_keeps_the_smallest_file(stand_in, model, capsys):
    stand_in(crash="gated")  # the tensor that MUL writes
    assert run(["compile", "--bisect", str(model)]) == 6
    out, err = capsys.readouterr()
    assert "the failure begins at operator 4 MUL" in out
    assert "  input   int8 [1, 4, 4, 8] (gate)" in out
    assert "  output  int8 [1, 4, 4, 8] (gated)" in out
    assert "alone, that operator fails too" in out
    assert "the first 4 operators: passes" in err
    kept = f"{model.stem}_failing.tflite"
    assert sorted(p.name for p in model.parent.iterdir()) == sorted([model.name, kept])


def test_bisect_as_json(stand_in, model, tmp_path, capsys):
    stand_in(crash="gated")
    assert run(["compile", "--bisect", "--json", "--out", str(tmp_path), str(model)]) == 6
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["fails"], document["doubt"]) == (1, True, None)
    assert (document["culprit"]["index"], document["culprit"]["name"]) == (4, "MUL")
    assert document["culprit"]["file"] == str(tmp_path / f"{model.stem}_failing.tflite")


def test_bisect_of_a_file_that_compiles(stand_in, model, capsys):
    stand_in()
    assert run(["compile", "--bisect", str(model)]) == 0
    assert "does not fail on it" in capsys.readouterr().out
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def on_host(server, model: Path, *more: str) -> int:
    return run(["compile", str(model), "--compile-host", server.url, *more])


def test_compiling_on_a_host(server, model, capsys, compiled):
    assert on_host(server, model) == 0
    assert "15 mapped, 1 on CPU" in capsys.readouterr().out
    made = model.parent / f"{model.stem}_edgetpu.tflite"
    assert made.read_bytes() == compiled.read_bytes()
    assert str(server.tmp) in made.with_suffix(".log").read_text()  # it was compiled there


def test_a_host_without_the_compiler(server, model, capsys):
    (server.bin / "edgetpu_compiler").unlink()
    assert on_host(server, model) == 3
    err = capsys.readouterr().err
    assert f"not installed on {server.url}" in err
    assert "--compiler" in err


def test_another_place_of_the_compiler_on_a_host(server, model, tmp_path):
    other = tmp_path / "there" / "a compiler"
    other.parent.mkdir()
    (server.bin / "edgetpu_compiler").rename(other)
    assert on_host(server, model, "--compiler", str(other)) == 0


@pytest.mark.parametrize("wrong", ["known_hosts", "id_ed25519"])
def test_a_host_that_does_not_know_us_or_we_it(server, model, capsys, wrong):
    (server.client / wrong).unlink()
    if wrong == "id_ed25519":
        make_key(server.client / wrong)
    assert on_host(server, model) == 4
    assert "ssh" in capsys.readouterr().err
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_a_connection_that_dies_leaves_what_was_here(server, model, capsys, compiled):
    """The compiler there ends the server's process of this connection."""
    assert on_host(server, model) == 0
    before = {path: path.read_bytes() for path in model.parent.iterdir()}
    end = (
        "import time\n"
        "assert pathlib.Path(f'/proc/{os.getppid()}/comm').read_text().startswith('sshd')\n"
        "os.kill(os.getppid(), signal.SIGKILL)\n"
        "time.sleep(3)\n"
    )
    body = STAND_IN.format(crash="", compiled=str(compiled), end=end)
    server.install("edgetpu_compiler", body)
    assert on_host(server, model) == 4
    assert "may be left there" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in model.parent.iterdir()} == before
    for folder in server.tmp.iterdir():
        shutil.rmtree(folder)


def test_a_compiler_that_fails_on_a_host(server, model, capsys, compiled):
    body = STAND_IN.format(crash="gated", compiled=str(compiled), end="")
    server.install("edgetpu_compiler", body)
    assert on_host(server, model) == 6
    assert "killed by SIGSEGV" in capsys.readouterr().err
    assert on_host(server, model, "--bisect") == 6
    assert "operator 4 MUL" in capsys.readouterr().out
