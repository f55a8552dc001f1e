"""What a log, a pipe and a stand-in for a terminal see."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from functools import partial
from typing import Any, cast

import pytest
from places import ROOT

from edgekit.errors import UsageError
from edgekit.report import Row
from edgekit.report.table import result_table
from edgekit.system.console import Console, NullConsole, safe, sign_of_life
from edgekit.system.text import NOTHING
from edgekit.tasks.classification.task import TASK


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Stream(io.TextIOWrapper):
    """A stream of any encoding, terminal or not, that remembers what was written."""

    def __init__(self, encoding: str = "utf-8", terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        return cast(io.BytesIO, self.buffer).getvalue().decode(self.encoding)


def rows(**changes: Any) -> list[Row]:
    latency = {
        "init": 30.0, "first": 18.0, "median": 9.62, "p5": 9.33, "p95": 10.8, "n": 50, "threads": 2,
    }  # fmt: skip
    reference: dict[str, Any] = {
        "stage": "fp32-torch",
        "runtime": "torch 2.13",
        "n": 736,
        "top1": 0.9307,
        "top5": 1.0,
        "top1_ci95": [0.912, 0.947],
        "agreement": 1.0,
        "kl": 0.0,
        "drop_pp": 0.0,
        "drop_se_pp": 0.0,
        "size_bytes": None,
        "latency_ms": None,
    }
    int8 = reference | {
        "stage": "w8a8-tflite",
        "runtime": "LiteRT 2.3",
        "top1": 0.928,
        "agreement": 0.9891,
        "kl": 0.0042,
        "drop_pp": 0.27,
        "drop_se_pp": 0.3,
        "size_bytes": 4_004_208,
        "latency_ms": latency,
    }
    return cast(list[Row], [reference, int8 | changes])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_stage_in_a_log_is_one_line(clock: Clock) -> None:
    out, err = Stream(), Stream()
    console = Console(out=out, err=err, clock=clock)
    with console.stage(3, 6, "quantize w8a8-static") as stage:
        clock.now += 8.6
        console.progress("calibrate", 128, 256)
        stage.detail = "5.3 MB"
    with console.stage(4, 6, "convert") as stage:
        stage.cached, stage.detail = True, "13.5 MB"
    with console.stage(5, 6, "evaluate"):
        clock.now += 125
    assert err.text == (
        "[3/6] quantize w8a8-static  8.6 s  5.3 MB\n"
        "[4/6] convert  cached  13.5 MB\n"
        "[5/6] evaluate  2 min 05 s\n"
    )
    assert out.text == ""


def test_long_stages_give_a_sign_of_life(clock: Clock) -> None:
    err = Stream()
    console = Console(err=err, clock=clock)
    with console.stage(1, 1, "train"):
        for done in range(0, 1001):
            console.progress("epoch 1/8", 500 + done, 1500, "loss 0.41")
            clock.now += 0.125
    assert err.text.splitlines() == [
        "      epoch 1/8: 740 of 1500 (49 %), 1 min 35 s left, loss 0.41",
        "      epoch 1/8: 980 of 1500 (65 %), 1 min 05 s left, loss 0.41",
        "      epoch 1/8: 1220 of 1500 (81 %), 35.0 s left, loss 0.41",
        "      epoch 1/8: 1460 of 1500 (97 %), 5.0 s left, loss 0.41",
        "[1/1] train  2 min 05 s",
    ]


def test_sign_of_life_without_a_total() -> None:
    assert sign_of_life("read", 7, 0, "", 0.5) == "      read: 7"
    assert sign_of_life("read", 0, 9, "", 0.0) == "      read: 0 of 9 (0 %)"


@pytest.mark.parametrize(
    ("raised", "said"),
    [(ValueError, "failed after 2.0 s"), (KeyboardInterrupt, "interrupted after 2.0 s")],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_nested_stages_that_break(
    clock: Clock, raised: type[BaseException], said: str, terminal: bool
) -> None:
    err = Stream(terminal=terminal)
    console = Console(err=err, clock=clock)

    def run() -> None:
        with console.stage(1, 2, "outer"), console.stage(1, 1, "inner"):
            console.progress("work", 1, 2)
            clock.now += 2
            raise raised

    with pytest.raises(raised):
        run()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", line) for line in err.text.splitlines()]
    assert [line for line in lines if said in line] == [
        f"  [1/1] inner  {said}",
        f"[1/2] outer  {said}",
    ]
    if terminal:
        assert err.text.count("\x1b[?25l") == err.text.count("\x1b[?25h") == 1
    with console.stage(2, 2, "after"):  # the console is as good as new
        pass
    assert "[2/2] after  0.0 s" in err.text


def test_errors_notes_and_footer() -> None:
    out, err = Stream(), Stream()
    console = Console(out=out, err=err)
    console.note("10 classes")
    console.warn("50 photos are few")
    console.error(UsageError("no model 'b9'", cause="it is unknown", hint="did you mean 'b0'?"))
    console.error(ZeroDivisionError("division by zero"))
    console.error(KeyboardInterrupt())
    console.footer(["edgekit inspect out.tflite", "edgekit bench out.tflite"])
    console.footer([])
    assert err.text == (
        "10 classes\n"
        "warning: 50 photos are few\n"
        "error: no model 'b9'\ncause: it is unknown\ntry:   did you mean 'b0'?\n"
        "error: ZeroDivisionError: division by zero\n"
        "error: KeyboardInterrupt\n"
        "next:\n  edgekit inspect out.tflite\n  edgekit bench out.tflite\n"
    )
    assert out.text == ""


def exercise(console: Console) -> None:
    with console.stage(1, 1, "train"):
        console.progress("work", 1, 2)
    console.note("note")
    console.footer(["edgekit"])
    console.warn("beware")
    console.error(UsageError("broken"))
    console.table(partial(result_table, TASK, rows()))


def test_quiet_keeps_warnings_errors_and_results() -> None:
    out, err = Stream(terminal=True), Stream(terminal=True)
    exercise(Console(out=out, err=err, quiet=True))
    assert re.sub(r"\x1b\[[0-9;]*m", "", err.text) == "warning: beware\nerror: broken\n"
    assert "w8a8-tflite" in out.text


def test_null_console_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    exercise(NullConsole())
    assert capfd.readouterr() == ("", "")


def test_default_streams_are_those_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.note("to stderr")
    console.table(partial(result_table, TASK, rows()))
    out, err = capsys.readouterr()
    assert err == "to stderr\n"
    assert out.startswith("stage")


def test_table_in_a_pipe_is_whole_and_plain() -> None:
    out = Stream()
    Console(out=out).table(partial(result_table, TASK, rows()))
    head, reference, int8 = out.text.splitlines()
    assert head.split("  ")[0] == "stage"
    assert "top-5" not in head  # 1 throughout
    assert re.split(r"\s{2,}", reference) == [
        "fp32-torch", "torch 2.13", "93.07", "91.20 to 94.70", "100.00", "0.0000", "0.00",
        *[NOTHING] * 3,
    ]  # fmt: skip
    assert re.split(r"\s{2,}", int8) == [
        "w8a8-tflite", "LiteRT 2.3", "92.80", "91.20 to 94.70", "98.91", "0.0042", "0.27 ± 0.30",
        "4.0 MB", "9.62", "9.33 to 10.8",
    ]  # fmt: skip
    assert len(head) == len(reference) == len(int8)
    assert "\x1b" not in out.text


@pytest.mark.parametrize("columns", [200, 100, 80, 60, 40, 20])
def test_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Stream(terminal=True)
    Console(out=out).table(partial(result_table, TASK, rows(top5=0.99)))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.text).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= columns
    if columns >= 60:  # what matters is there
        for figure in ("w8a8-tflite", "92.80", "0.27", "9.62"):
            assert figure in lines[2]
    assert ("99.00" in lines[2]) == (columns >= 80)


def test_markup_is_text() -> None:
    out = Stream()
    Console(out=out).table(partial(result_table, TASK, rows(runtime="[red]x[/red] :smile:")))
    assert "[red]x[/red] :smile:" in out.text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("terminal", [False, True])
def test_terminals_without_utf8(clock: Clock, encoding: str, terminal: bool) -> None:
    out, err = Stream(encoding, terminal), Stream(encoding, terminal)
    console = Console(out=out, err=err, clock=clock)
    with console.stage(1, 1, "train 猫 … 4\xd74") as stage:
        for i in range(5):
            console.progress("猫", i, 5, "±猫")
            clock.now += 1
        stage.detail = "ß"
    console.warn("Gänseblümchen/猫.jpg")
    console.table(partial(result_table, TASK, rows()))
    assert "[1/1] train ? ... 4x4  5.0 s" in err.text
    assert "?.jpg" in err.text
    assert "0.27 " in out.text


def test_control_characters_do_not_reach_the_terminal() -> None:
    err = Stream()
    Console(err=err).warn("bad name \x1b[2J\x07\r.jpg")
    assert err.text == "warning: bad name ?[2J??.jpg\n"
    assert safe("a\udcffb", err) == "a?b"  # a file name that is not UTF-8


@pytest.mark.parametrize(("term", "bars"), [("xterm-256color", True), ("dumb", False)])
def test_bars_only_where_the_cursor_moves(
    monkeypatch: pytest.MonkeyPatch, term: str, bars: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    err = Stream(terminal=True)
    with Console(err=err).stage(1, 1, "train"):
        pass
    assert ("\x1b[?25l" in err.text) == bars


def test_prints_inside_a_stage_stay_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    err = Stream(terminal=True)
    console = Console(err=err)
    with console.stage(1, 1, "evaluate"):
        print("a result")
        console.table(partial(result_table, TASK, rows()))
    out = capsys.readouterr().out
    assert out.startswith("a result\nstage")
    assert "a result" not in err.text
    assert "w8a8" not in err.text
    assert err.text.count("\x1b[?25l") == err.text.count("\x1b[?25h")


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    def colours(stream: Stream) -> list[str]:
        return re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", stream.text)

    coloured, plain = Stream(terminal=True), Stream(terminal=True)
    Console(err=coloured).warn("x")
    monkeypatch.setenv("NO_COLOR", "1")
    Console(err=plain).warn("x")
    assert colours(coloured)
    assert not colours(plain)


def test_a_closed_pipe_does_not_stop_the_work() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8", buffering=1) as err:
        with Console(err=err).stage(1, 1, "train"):
            pass
        Console(err=err).warn("nobody hears this")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # so that closing can flush


def test_import_brings_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "import edgekit.system.console\n"
        "print(*sorted({'rich', 'numpy', 'PIL', 'jinja2', 'edgekit.report'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
