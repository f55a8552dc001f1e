"""The console on a real (pseudo) terminal: live bars, Ctrl-C, and the cursor afterwards."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from places import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo terminals")

TRAIN = """
import sys, time
from edgekit.system.console import Console
console = Console()
with console.stage(2, 6, "train") as stage:
    for i in range({steps}):
        console.progress("epoch 3/8", i, {steps}, "loss 0.41")
        time.sleep(0.02)
        if i == 10:
            console.note("a note above the bar")
            print("a result", flush=True)
    stage.detail = "93.1 %"
"""


def in_terminal(code: str, until: Callable[[str], bool], *, interrupt: bool) -> tuple[str, int]:
    """Runs Python on a pseudo terminal of 100 columns, and presses Ctrl-C where asked."""
    import fcntl
    import pty
    import struct
    import termios

    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=other, stdout=other, stderr=other,
        preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(other)
    seen, deadline, pressed = b"", time.monotonic() + 30, False
    while time.monotonic() < deadline:
        if not select.select([main], [], [], 0.2)[0]:
            continue
        try:
            chunk = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        seen += chunk
        if interrupt and not pressed and until(seen.decode(errors="replace")):
            os.write(main, b"\x03")
            pressed = True
    os.close(main)
    try:
        return seen.decode(errors="replace"), process.wait(timeout=10)
    finally:
        process.kill()


def test_a_live_bar() -> None:
    text, code = in_terminal(TRAIN.format(steps=40), lambda _: False, interrupt=False)
    assert code == 0
    assert "[2/6] train  epoch 3/8" in text
    assert re.search(r"\d+/40", text)
    assert re.search(r"\d\d:\d\d", text)  # time left
    assert "loss 0.41" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"[\r\n]a note above the bar\r?\n", plain)
    assert plain.rstrip().endswith("93.1 %")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_ctrl_c_gives_the_terminal_back() -> None:
    text, code = in_terminal(
        TRAIN.format(steps=1500), lambda seen: "loss 0.41" in seen, interrupt=True
    )
    assert code in (130, -signal.SIGINT)
    assert "interrupted after" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
