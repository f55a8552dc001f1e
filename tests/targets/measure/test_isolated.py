from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from stand_in import build_library, compiled_model
from tiny_tflite import CLASSES, SIZE, TinyModel, float_io

from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import DeviceError, EdgekitError, MissingToolError, UsageError
from edgekit.runtimes.litert import LiteRT
from edgekit.system import processes as child
from edgekit.targets.measure import agent
from edgekit.targets.measure import isolated as runner
from edgekit.targets.measure.isolated import Delegate, Effort, converse, run

PIXELS = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
LITE = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, ())


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    return path


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def say(**message) -> str:
    return f"print({json.dumps(message)!r}, flush=True); "


def ask(command, request=b"", delegate=None, timeout_s=10.0):
    return converse(command, request, delegate or Delegate(), timeout_s, lambda runs: None)


LOADING = say(phase="while loading the model", done=0)


@pytest.mark.parametrize(("name", "kernels"), [("xnnpack", "xnnpack"), ("none", "builtin")])
def test_answers_what_litert_answers(path, name, kernels):
    seen = []
    answer = run(
        path,
        PIXELS,
        delegate=Delegate(name),
        effort=Effort(threads=2, repeat=4),
        progress=lambda done, total: seen.append((done, total)),
    )
    np.testing.assert_array_equal(answer.scores, LiteRT(path, kernels=kernels).run(PIXELS))
    assert (answer.scores.shape, answer.scores.dtype) == ((3, CLASSES), np.float32)
    assert answer.latency["n"] == 4
    assert 0 < answer.latency["p5"] <= answer.latency["median"] <= answer.latency["p95"]
    assert min(answer.latency["load"], answer.latency["first"]) > 0
    assert answer.runtime.startswith("ai_edge_litert ")
    assert seen[-8:] == [(done, 7) for done in range(8)]


def test_a_float_input_is_fed_as_litert_feeds_it(path):
    path.write_bytes(float_io().pack())
    answer = run(path, PIXELS, preprocessing=LITE, effort=Effort(repeat=1))
    np.testing.assert_array_equal(answer.scores, LiteRT(path, preprocessing=LITE).run(PIXELS))


@pytest.mark.parametrize(
    ("device", "recorded"),
    [("usb:1", "device=usb:1\n1 options\n"), ("", "0 options\n")],
)
def test_the_library_is_loaded_with_its_options_and_the_model_answers(
    path, tmp_path, device, recorded
):
    record = tmp_path / "record"
    library = build_library(tmp_path, f'RECORD="{record}"')
    delegate = Delegate("edgetpu", library, device)
    answer = run(path, PIXELS, delegate=delegate, compiled_only=False)
    assert record.read_text() == recorded
    np.testing.assert_array_equal(answer.scores, LiteRT(path).run(PIXELS))
    assert answer.latency["delegate"] > 0


@pytest.mark.parametrize(
    ("switch", "kind", "says"),
    [
        (
            "CRASH",
            EdgekitError,
            "by SIGSEGV while loading the delegate\ncause: the stand-in was",
        ),
        pytest.param(
            "HANG",
            DeviceError,
            "hung while loading the delegate and was stopped after 1.5 s",
            marks=pytest.mark.slow,
        ),
        ("NO_DEVICE", DeviceError, "no Edge TPU could be opened (usb)\ncause: Failed to load"),
        ("NO_ENTRY", UsageError, "is not the Edge TPU's library"),
        ("TOO_OLD", MissingToolError, "--min-runtime-version 13"),
    ],
)
def test_what_a_library_can_do_wrong(path, tmp_path, switch, kind, says):
    delegate = Delegate("edgetpu", build_library(tmp_path, switch), "usb")
    effort = Effort(timeout_s=1.5 if switch == "HANG" else 30)
    with pytest.raises(EdgekitError) as caught:
        run(path, PIXELS, delegate=delegate, effort=effort, compiled_only=False)
    assert type(caught.value) is kind
    assert says in str(caught.value)


def test_a_library_that_hangs_when_it_is_closed_takes_no_answer_away(path, tmp_path, monkeypatch):
    monkeypatch.setattr(child, "GRACE_S", 0.2)
    delegate = Delegate("edgetpu", build_library(tmp_path, "HANG_AT_END"))
    assert run(path, PIXELS, delegate=delegate, compiled_only=False).scores.shape == (3, CLASSES)


def test_a_missing_library_is_told_from_a_missing_device(path):
    delegate = Delegate("edgetpu", "libnowhere.so.1")
    with pytest.raises(MissingToolError, match="cannot be loaded") as caught:
        run(path, PIXELS, delegate=delegate, compiled_only=False)
    assert caught.value.cause.startswith("libnowhere.so.1: cannot open shared object file")
    assert "libedgetpu1-std" in caught.value.hint


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("Linux", "libedgetpu.so.1"),
        ("Darwin", "libedgetpu.1.dylib"),
        ("Windows", "edgetpu.dll"),
    ],
)
def test_the_usual_name_of_the_library(monkeypatch, system, name):
    monkeypatch.setattr("platform.system", lambda: system)
    assert Delegate("edgetpu").path == name
    assert Delegate("xnnpack").path is None


@pytest.mark.parametrize("device", ["", ":0", "usb", "usb:12", "pci", "pci:0"])
def test_devices(device):
    assert Delegate("edgetpu", device=device).device == device


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("edgetpu", None, "usb0"), "'usb0' names no Edge TPU"),
        (("edgetpu", None, "usb:"), "names no Edge TPU"),
        (("edgetpu", None, "usb:1\n"), "names no Edge TPU"),
        (("edgtpu", None, ""), "did you mean 'edgetpu'"),
        (("xnnpack", "lib.so", ""), "name the delegate edgetpu"),
        (("none", None, "usb"), "name the delegate edgetpu"),
    ],
)
def test_wrong_delegates(arguments, says):
    with pytest.raises(UsageError) as caught:
        Delegate(*arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("compiled", "name", "says"),
    [(True, "xnnpack", "edgekit run --delegate edgetpu"), (False, "edgetpu", "edgekit compile")],
)
def test_model_and_delegate_must_match(path, compiled, name, says):
    if compiled:
        path.write_bytes(compiled_model())
    with pytest.raises(UsageError) as caught:
        run(path, PIXELS, delegate=Delegate(name))
    assert says in caught.value.hint


@pytest.mark.parametrize(
    ("batch", "options", "says"),
    [
        (PIXELS[:, :-1], {}, "takes uint8 pixels"),
        (PIXELS.astype(np.float32), {}, "takes uint8 pixels"),
        (PIXELS[:0], {}, "takes uint8 pixels"),
        (PIXELS, {"threads": 0}, "above 0"),
        (PIXELS, {"repeat": 0}, "above 0"),
        (PIXELS, {"timeout_s": 0}, "above 0"),
    ],
)
def test_wrong_arguments(path, batch, options, says):
    with pytest.raises(UsageError, match=says):
        run(path, batch, effort=Effort(**options))


def test_not_a_classifier(path):
    tiny = TinyModel()
    tiny.graph.inputs = [tiny.index("mean")]
    path.write_bytes(tiny.pack())
    with pytest.raises(UsageError, match="not an image classifier"):
        run(path, PIXELS)


def test_a_model_that_the_runtime_rejects(path):
    tiny = TinyModel()
    tiny.tensor("stem_w").shape = [8, 3, 3, 2]
    path.write_bytes(tiny.pack())
    with pytest.raises(EdgekitError, match="cannot load") as caught:
        run(path, PIXELS)
    assert "failed to prepare" in caught.value.cause


def test_a_kill_names_signal_phase_and_last_words():
    code = LOADING + "import os; os.write(2, b'last words\\n'); os.kill(os.getpid(), 9)"
    with pytest.raises(EdgekitError) as caught:
        ask(python(code))
    assert caught.value.message == "the runtime was killed by SIGKILL while loading the model"
    assert caught.value.cause == "last words"
    assert "memory" in caught.value.hint


def test_an_end_without_an_answer():
    with pytest.raises(EdgekitError, match="ended with exit code 7 while it started"):
        ask(python("raise SystemExit(7)"))


@pytest.mark.parametrize(
    ("delegate", "kind"), [(Delegate(), EdgekitError), (Delegate("edgetpu"), DeviceError)]
)
def test_a_hang_is_stopped_with_all_that_was_started(tmp_path, delegate, kind):
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(pids)!r}, 'w').write(str(child.pid)); "
        + say(phase="in run 7", done=6)
        + "child.wait()"
    )
    began = time.monotonic()
    with pytest.raises(EdgekitError, match="hung in run 7 and was stopped") as caught:
        ask(python(code), delegate=delegate, timeout_s=0.5)
    assert type(caught.value) is kind
    assert time.monotonic() - began < 5
    assert ended(int(pids.read_text()))


def ended(pid: int) -> bool:
    """Waits a little for a process to be gone, or to be a zombie that nobody has reaped."""
    for _ in range(100):
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        if not state.stdout.strip() or state.stdout.startswith("Z"):
            return True
        time.sleep(0.02)
    return False


def test_an_interrupt_ends_the_child():
    started = []

    def interrupt(runs: int) -> None:
        started.append(runs)
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        converse(python(LOADING + "import time; time.sleep(60)"), b"", Delegate(), 30, interrupt)
    assert started == [0]
    assert time.monotonic() - began < 5


def test_a_child_that_never_reads_blocks_nobody():
    with pytest.raises(EdgekitError, match="exit code 0"):
        ask(python("pass"), request=bytes(1 << 22))


def test_a_long_answer_and_lines_that_are_none():
    code = (
        "print('motd'); print(5); "
        + LOADING
        + "import json; print(json.dumps({'result': [0.5] * 10**6}))"
    )
    began = time.monotonic()
    assert ask(python(code))["result"] == [0.5] * 10**6
    assert time.monotonic() - began < 3


def test_the_child_is_plain():
    """It is sent to machines with an older Python and without edgekit."""
    tree = ast.parse(runner.CHILD.read_text(), feature_version=(3, 9))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [node.names[0].name])
    }
    assert "json" in names
    assert names - sys.stdlib_module_names == {"numpy"}


def test_without_a_runtime(monkeypatch):
    monkeypatch.setattr(agent, "RUNTIMES", ("nowhere_a", "nowhere_b"))
    with pytest.raises(agent.ChildError) as caught:
        agent.load_runtime()
    kind, cause = caught.value.args
    assert kind == "runtime"
    assert "nowhere_a" in cause
    assert "nowhere_b" in cause


def test_the_first_runtime_that_imports_is_taken(monkeypatch):
    monkeypatch.setattr(agent, "RUNTIMES", ("nowhere", *agent.RUNTIMES))
    assert agent.load_runtime().__name__ == "ai_edge_litert.interpreter"


def test_the_child_s_neighbours_do_not_shadow_packages(path, tmp_path):
    """A file beside it named as a package would be imported in its place."""
    copy = tmp_path / "agent.py"
    copy.write_text(runner.CHILD.read_text())
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    request = {
        "model": str(path),
        "shape": [1, SIZE, SIZE, 3],
        "table": None,
        "library": None,
        "options": {},
        "plain": False,
        "threads": 1,
        "repeat": 1,
    }
    data = json.dumps(request).encode() + b"\n" + PIXELS[:1].tobytes()
    answer = ask([sys.executable, str(copy)], data)
    assert len(answer["outputs"][0]) == CLASSES


def test_signals_without_a_name():
    error = child.died("in run 2", -(signal.SIGRTMIN + 5), None)
    assert f"signal {signal.SIGRTMIN + 5} in run 2" in error.message
