"""The compiler itself is not available; a stand-in script on PATH plays its known behaviours."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from described import embed
from places import SHARED
from prerequisites import needs
from tiny_tflite import TinyModel, schema

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import CompileError, MissingToolError, UsageError
from edgekit.targets.edgetpu.compiler import compile_files
from edgekit.targets.edgetpu.options import CompilerOptions
from edgekit.targets.edgetpu.target import EdgeTPUTarget

PAIRS = SHARED / "edgetpu/pairs"
NAME = "mobilenet_v1_0.25_128_quant"

STAND_IN = """\
#!{python}
# A stand-in for edgetpu_compiler: it takes its options and plays one of its behaviours.
import os, pathlib, shutil, signal, subprocess, sys, time
args = sys.argv[1:]
out, model = pathlib.Path(args[args.index("--out_dir") + 1]), pathlib.Path(args[-1])
made = out / (model.stem + "_edgetpu.tflite")
print("Edge TPU Compiler version 16.0.384591198", flush=True)
{body}
"""
SUCCESS = """\
shutil.copy({compiled!r}, made)
print('''
Model compiled successfully in 12 ms.

Number of Edge TPU subgraphs: 1
Total number of operations: 31
Operation log: model.log

Operator                       Count      Status

CONV_2D                        15         Mapped to Edge TPU
DEPTHWISE_CONV_2D              13         {status}
''')
"""


def compile_one(path, out, timeout_s=180):
    """Examines a file and compiles it, as a build does."""
    target = EdgeTPUTarget()
    return target.compile(target.examine(path), out, timeout_s)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a stand-in with the given body on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(body: str) -> None:
        tool = folder / "edgetpu_compiler"
        tool.write_text(STAND_IN.format(python=sys.executable, body=body))
        tool.chmod(0o755)

    return install


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    return path


@pytest.fixture
def compiled(tmp_path) -> Path:
    """A model of one `edgetpu-custom-op`: the real compiler's, where it is at hand."""
    if PAIRS.is_dir():
        return PAIRS / f"{NAME}_edgetpu.tflite"
    tiny = TinyModel()
    tiny.graph.operators = []
    tiny.add_op("CUSTOM", 1, ["image"], "scores")
    tiny.model.operatorCodes[-1].customCode = b"edgetpu-custom-op"
    path = tmp_path / "stand_in_output.tflite"
    path.write_bytes(tiny.pack())
    return path


def success(compiled: Path, status: str = "Mapped to Edge TPU") -> str:
    return SUCCESS.format(compiled=str(compiled), status=status)


def test_success(tmp_path, stand_in, model, compiled):
    stand_in(success(compiled, "More than one subgraph is not supported"))
    out = tmp_path / "new" / "out"
    result = compile_one(model, out)
    assert result.model == out / "tiny_edgetpu.tflite"
    assert result.model.read_bytes() == compiled.read_bytes()
    assert (result.mapped, result.on_cpu) == (15, 13)
    assert result.figures[0]["milliseconds"] == 12
    assert "16.0.384591198" in result.log.read_text()
    assert sorted(p.name for p in out.iterdir()) == ["tiny_edgetpu.log", "tiny_edgetpu.tflite"]


@needs("shared", PAIRS.is_dir())
def test_a_real_pair(tmp_path, stand_in):
    stand_in(success(PAIRS / f"{NAME}_edgetpu.tflite"))
    result = compile_one(PAIRS / f"{NAME}.tflite", tmp_path / "out")
    assert tflite_file.read(result.model).custom_codes == ("edgetpu-custom-op",)
    assert "imagenet_labels.txt" in read_metadata(result.model).files


def test_the_command_line_is_the_real_one(tmp_path, stand_in, model, compiled):
    stand_in(success(compiled) + "print(sys.argv[1:])\n")
    log = compile_one(model, tmp_path / "out", 77).log.read_text()
    assert "'--show_operations', '--timeout_sec', '77', " in log
    command = EdgeTPUTarget().command(Path("m.tflite"), Path("out"), 77)
    assert command == [
        "edgetpu_compiler",
        "--out_dir",
        "out",
        "--show_operations",
        "--timeout_sec",
        "77",
        "m.tflite",
    ]


def test_labels_that_the_compiler_drops_are_put_back(tmp_path, stand_in, model):
    labels = ("a", "b", "c", "d", "e")
    preprocessing = Preprocessing(8, (127.0,) * 3, (128.0,) * 3, labels)
    model.write_bytes(
        embed(model, name="n", description="d", labels=labels, preprocessing=preprocessing)
    )
    tiny = TinyModel()
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(tiny.pack())
    stand_in(success(bare))
    result = compile_one(model, tmp_path / "out")
    assert read_metadata(result.model).files == ("labels.txt", "edgekit.json")


def failure(tmp_path: Path, model: Path) -> CompileError:
    """Compiles, expecting a failure that leaves a log and nothing that looks like a result."""
    out = tmp_path / "out"
    with pytest.raises(CompileError) as caught:
        compile_one(model, out)
    assert caught.value.exit_code == 6
    assert [p.name for p in out.iterdir()] == ["tiny_edgetpu.log"]
    assert str(out / "tiny_edgetpu.log") in caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("", "without an error and without output"),
        ("made.write_bytes(b'')", "damaged"),
        ("made.write_bytes(b'half')", "damaged"),
        ("shutil.copy(model, made)", "no operator was mapped"),
        ("print('Internal compiler error. Aborting!'); sys.exit(1)", "internal error"),
        ("print('Model not quantized'); sys.exit(1)", "not fully quantized"),
        ("print('Compilation failed!'); sys.exit(1)", "exit code 1; it printed:"),
        ("print('Internal compiler error. Aborting!')", "internal error"),
        (
            "print('ERROR: Op builtin_code out of range: 151. Are you using old TFLite binary with "
            "newer model?\\nInvalid model: tiny.tflite\\nModel could not be parsed'); sys.exit(1)",
            "the model is newer than the compiler",
        ),
        ("print('ERROR: Encountered unresolved custom op: Atan.'); sys.exit(1)", "operator Atan"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("sys.exit(139)", "killed by SIGSEGV"),
    ],
    ids=[
        "silent death",
        "an empty file",
        "half a file",
        "no custom op",
        "internal error",
        "not quantized",
        "unknown failure",
        "failure with exit 0",
        "newer model",
        "custom operator",
        "signal",
        "signal behind the wrapper",
    ],
)
def test_failures_are_named(tmp_path, stand_in, model, body, cause):
    stand_in(body)
    assert cause in failure(tmp_path, model).cause


def test_nothing_mapped_is_a_failure_that_names_what_blocks(tmp_path, stand_in, model, compiled):
    table = success(compiled, "Operation not supported").replace("CONV_2D  ", "RELU     ")
    stand_in(table.replace("Mapped to Edge TPU", "Operation not supported"))
    error = failure(tmp_path, model)
    assert "no operator was mapped" in error.cause
    assert "Operation not supported" in error.cause


def test_a_hang_is_ended_with_its_children(tmp_path, stand_in, model):
    pid = tmp_path / "pid"
    stand_in(
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    began = time.monotonic()
    with pytest.raises(CompileError) as caught:
        compile_files([model], tmp_path / "out", CompilerOptions(timeout_s=1), grace_s=0.5)
    assert time.monotonic() - began < 30
    assert "stopped after 1.5 s" in caught.value.cause
    assert _ends(int(pid.read_text()))


def _ends(pid: int) -> bool:
    """True when the process is gone, or is a zombie that nobody waits for, within 5 s."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_a_failure_keeps_the_earlier_output(tmp_path, stand_in, model, compiled):
    out = tmp_path / "out"
    stand_in(success(compiled))
    compile_one(model, out)
    stand_in("sys.exit(1)")
    with pytest.raises(CompileError):
        compile_one(model, out)
    assert (out / "tiny_edgetpu.tflite").read_bytes() == compiled.read_bytes()


def test_a_missing_compiler_is_exit_3_with_the_command(tmp_path, model, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError) as caught:
        compile_one(model, tmp_path / "out")
    assert caught.value.exit_code == 3
    assert str(model) in caught.value.message
    assert caught.value.hint == (
        f"edgetpu_compiler --out_dir {tmp_path / 'out'} --show_operations --timeout_sec 180 {model}"
    )
    assert not (tmp_path / "out").exists()


def test_a_broken_rule_stops_before_the_compiler(tmp_path, stand_in, model):
    stand_in("pathlib.Path('/nonexistent/never').touch()")
    tiny = TinyModel()
    tiny.tensor("image").shape = [2, 8, 8, 3]
    model.write_bytes(tiny.pack())
    with pytest.raises(CompileError) as caught:
        compile_one(model, tmp_path / "out")
    assert "batch is 2" in caught.value.cause
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("one\ntwo\nthree", ["exit code 1", "one\ntwo\nthree"]),
        ("", ["exit code 1, and without a word"]),
        ("Compilation failed due to large activation tensors in model.", ["do not fit"]),
    ],
)
def test_an_unknown_failure_shows_all_that_was_printed(tmp_path, stand_in, model, printed, words):
    stand_in(f"print({printed!r}); sys.exit(1)")
    error = failure(tmp_path, model)
    for word in words:
        assert word in error.cause


SEGMENTS = """\
count = int(args[args.index("--num_segments") + 1])
for i in range(count - {missing}):
    name = f"{{model.stem}}_segment_{{i}}_of_{{count}}_edgetpu"
    shutil.copy({compiled!r}, out / (name + ".tflite"))
    table = "Operator  Count  Status\\n\\nCONV_2D  15  Mapped to Edge TPU\\n"
    (out / (name + ".log")).write_text(table)
print("Model compiled successfully in 5 ms.")
"""


def test_segments(tmp_path, stand_in, model, compiled):
    """With the tables in the compiler's own logs, and not printed."""
    stand_in(SEGMENTS.format(compiled=str(compiled), missing=0))
    (made,) = compile_files([model], tmp_path / "out", CompilerOptions(num_segments=3))
    names = [f"tiny_segment_{i}_of_3_edgetpu.tflite" for i in range(3)]
    assert [path.name for path in made.outputs] == names
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["tiny_edgetpu.log", *names]
    assert (made.mapped, made.on_cpu) == (45, 0)


def test_a_missing_segment_is_a_failure_without_results(tmp_path, stand_in, model, compiled):
    stand_in(SEGMENTS.format(compiled=str(compiled), missing=1))
    with pytest.raises(CompileError) as caught:
        compile_files([model], tmp_path / "out", CompilerOptions(num_segments=3))
    assert "tiny_segment_2_of_3_edgetpu.tflite is missing" in caught.value.cause
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["tiny_edgetpu.log"]


TOGETHER = """\
print("Started a compilation timeout timer of 180 seconds.\\nModels compiled successfully in 9 ms.")
models = [pathlib.Path(a) for a in args if a.endswith(".tflite")]
for place, model in enumerate(reversed(models)):
    shutil.copy({compiled!r}, out / (model.stem + "_edgetpu.tflite"))
    print(f'''
Input model: {{model}}
Off-chip memory used for streaming uncached model parameters: {{len(model.stem)}}.00KiB

Operator                       Count      Status

CONV_2D                        {{len(model.stem)}}         Mapped to Edge TPU
''')
print(len(models), "in one call")
"""


def test_several_models_are_compiled_together(tmp_path, stand_in, model, compiled):
    stand_in(TOGETHER.format(compiled=str(compiled)))
    other = model.rename(model.with_name("the other.tflite"))
    model.write_bytes(other.read_bytes())
    made = compile_files([model, other], tmp_path / "out", CompilerOptions())
    assert [file.source for file in made] == [model, other]
    assert [file.mapped for file in made] == [4, 9]
    assert [file.figures[0]["off_chip_bytes"] for file in made] == [4 << 10, 9 << 10]
    assert [file.figures[0]["milliseconds"] for file in made] == [9, 9]
    for file in made:
        assert "2 in one call" in file.log.read_text()
        assert file.outputs[0].read_bytes() == compiled.read_bytes()


def test_options_of_a_single_model_keep_several_apart(tmp_path, stand_in, model, compiled):
    stand_in(TOGETHER.format(compiled=str(compiled)))
    other = model.rename(model.with_name("other.tflite"))
    model.write_bytes(other.read_bytes())
    options = CompilerOptions(intermediate_tensors=("stem",))
    made = compile_files([model, other], tmp_path / "out", options)
    assert [file.mapped for file in made] == [4, 5]
    assert "1 in one call" in made[0].log.read_text()


def test_models_that_would_overwrite_each_other_are_refused(tmp_path, stand_in, model):
    stand_in("pathlib.Path('/nonexistent/never').touch()")
    for other in ("else/tiny.tflite", "tiny_edgetpu.tflite"):
        with pytest.raises(UsageError) as caught:
            compile_files([model, tmp_path / other], tmp_path / "out", CompilerOptions())
        assert "two files of the name" in caught.value.cause


def test_a_compiled_file_is_not_compiled_again(tmp_path, compiled):
    with pytest.raises(UsageError, match="compiled for the Edge TPU already"):
        compile_one(compiled, tmp_path / "out")


def test_force_goes_beyond_a_broken_rule(tmp_path, stand_in, model, compiled):
    stand_in(success(compiled))
    tiny = TinyModel()
    tiny.tensor("image").shape = [2, 8, 8, 3]
    model.write_bytes(tiny.pack())
    made = EdgeTPUTarget().compile_files([model], tmp_path / "out", CompilerOptions(), force=True)
    assert made[0].mapped == 28


def test_file_names_that_a_shell_would_read(tmp_path, stand_in, model, compiled):
    stand_in(success(compiled))
    odd = model.rename(tmp_path / "-a 'b' \"$c\" `d`.tflite")
    (made,) = compile_files([odd], tmp_path / "out", CompilerOptions())
    assert made.outputs[0].name == "-a 'b' \"$c\" `d`_edgetpu.tflite"
    assert made.outputs[0].read_bytes() == compiled.read_bytes()
