"""Work in a toolchain's Python: what it answers, and all the ways in which it can end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tool_worker

from edgekit.errors import CompileError, EdgekitError, MissingToolError
from edgekit.targets.toolchains.toolchain import Toolchain
from edgekit.targets.toolchains.work import Job, run_job

WORKER = Path(tool_worker.__file__)
#: Beside us: its Python is ours, started anew.
TOOL = Toolchain("tool", "The tool", "numpy", ("numpy",), "BSD", WORKER, extra="tool")
ABSENT = Toolchain("absent", "The absent tool", "numpy", ("numpy",), "BSD", WORKER)

PARENT = """
import sys
from pathlib import Path
from edgekit.targets.toolchains.toolchain import Toolchain
from edgekit.targets.toolchains.work import Job, run_job
worker, pids = Path(sys.argv[1]), sys.argv[2]
tool = Toolchain("tool", "The tool", "numpy", ("numpy",), "BSD", worker, extra="tool")
run_job(tool, Job(worker, "hang", {"pids": pids}), timeout_s=60)
"""


def do(task, arguments=None, arrays=None, timeout_s=30.0, advance=None):
    job = Job(WORKER, task, arguments or {}, arrays or {})
    return run_job(TOOL, job, timeout_s=timeout_s, advance=advance)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_end(pids: Path) -> bool:
    """Whether the processes whose numbers are in a file end within seconds."""
    left = [int(pid) for pid in pids.read_text("utf-8").split()]
    limit = time.monotonic() + 5
    while any(map(is_running, left)) and time.monotonic() < limit:
        time.sleep(0.05)
    return not any(map(is_running, left))


def test_arrays_values_and_progress():
    values = np.arange(6, dtype=np.int8).reshape(2, 3)[:, ::-1]
    shown = []
    done = do("double", {"pause": 0.15}, {"values": values}, advance=lambda *n: shown.append(n))
    assert done.values["sum"] == 15.0
    np.testing.assert_array_equal(done.arrays["doubled"], 2 * values)
    np.testing.assert_array_equal(done.arrays["turned"], values.T)
    assert done.arrays["doubled"].dtype == np.int8
    assert done.log == "a line of the tool\n"
    assert shown == sorted(shown)
    assert set(shown) <= {(0, 3), (1, 3), (2, 3)}
    assert shown
    assert done.seconds > 0.45
    assert done.values["cwd"] != str(Path.cwd())
    assert not Path(done.values["cwd"]).exists()


def test_a_tool_that_prints_without_end_blocks_nothing():
    log = do("chatter").log
    assert len(log) > 1_000_000
    assert log.endswith("the last word\n")


@pytest.mark.parametrize(
    ("task", "kind", "message", "cause"),
    [
        ("crash", EdgekitError, "SIGABRT in 'crash'", "Check failed: rank == 4"),
        ("leave", EdgekitError, "exit code 7 in 'leave'", "license not found"),
        ("refuse", CompileError, "The tool does not take", "operator CONV_3D is not supported"),
        ("fail", EdgekitError, "The tool failed in 'fail'", "KeyError: 'scale'"),
        ("unknown", EdgekitError, "The tool failed in 'unknown'", "KeyError: 'unknown'"),
    ],
)
def test_a_tool_that_fails_is_a_message(task, kind, message, cause):
    with pytest.raises(kind, match=message) as caught:
        do(task)
    assert type(caught.value) is kind
    assert caught.value.cause == cause


def test_a_hang_ends_with_all_that_it_started(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(EdgekitError, match=r"did not finish 'hang' within 1\.5 s") as caught:
        do("hang", {"pids": str(pids)}, timeout_s=1.5)
    assert caught.value.cause == "pass 3 of 9"
    assert all_end(pids)


def test_it_ends_when_edgekit_is_killed(tmp_path):
    pids = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(WORKER), str(pids)])
    limit = time.monotonic() + 20
    while not (pids.exists() and pids.read_text("utf-8")) and time.monotonic() < limit:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert all_end(pids)


def test_without_the_tool_the_command_is_named():
    with pytest.raises(MissingToolError, match="The absent tool is not installed") as caught:
        run_job(ABSENT, Job(WORKER, "double"), timeout_s=1)
    assert caught.value.hint == "edgekit toolchain install absent"
