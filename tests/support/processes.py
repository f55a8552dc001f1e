"""The tests in several processes, `pytest -n auto`: one for each core, with one thread each.

At the end it says how much memory each process took.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

import pytest

#: Peak memory of a process of the fast tests, in MB: two fit into a small machine.
MOST_MEMORY = 2500
#: Read by OpenMP (torch, ONNX's checker, scikit-learn), BLAS and TensorFlow when they are loaded.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
THREADS_OF_TENSORFLOW = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

#: The modules of more than ten seconds, the longest first: they begin, so that no process has
#: one of them left when the others are done. A module runs in one process, for its fixtures.
LONGEST = (
    *("targets/measure/test_device", "whole/test_build", "training/test_trainer"),
    *("cli/test_train", "cli/test_bench_devices", "docs/test_commands"),
    *(
        "converters/openvino/test_nncf",
        "converters/weights/test_keras_model",
        "pipeline/test_auto_quantize",
    ),
    *("whole/test_records", "whole/test_repair", "whole/test_files_of_targets"),
    *(
        "converters/openvino/test_nncf_qat",
        "converters/onnx/test_write",
        "targets/deploy/test_deploy",
    ),
    *("parity/test_compare", "test_model", "whole/test_preparation"),
)

if "PYTEST_XDIST_WORKER" in os.environ:
    # As many threads as cores in as many processes as cores would wait for each other.
    for _name in (*THREADS, *THREADS_OF_TENSORFLOW):
        os.environ.setdefault(_name, "1")
    # Threads of a build that asks for several sleep while they wait, instead of taking the core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` starts: xdist itself ignores a limit to some of the cores."""
    from edgekit.system.host import usable_cores

    return usable_cores()


def peak_memory() -> float | None:
    """The peak of this process in MB; None where it is unknown."""
    if sys.platform == "linux":
        with open("/proc/self/status", encoding="ascii") as status:
            found = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
        return found[0] / 1e3 if found else None
    return None


class Memory:
    """Collects the peak of every process that runs tests, and prints them at the end."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Takes what a process sent when it ended; one that crashed sent nothing."""
        if peak := getattr(node, "workeroutput", {}).get("peak_memory"):
            self.peaks[node.gateway.id] = peak

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints a line, in red where a process of the fast tests took too much."""
        peaks = self.peaks or {"alone": peak_memory() or 0}
        listed = ", ".join(f"{name} {peak:,.0f} MB" for name, peak in sorted(peaks.items()))
        terminalreporter.section("memory")
        terminalreporter.line(f"peak of each process: {listed}")
        if max(peaks.values()) > MOST_MEMORY and self.peaks:
            terminalreporter.line(
                f"more than {MOST_MEMORY:,} MB, which a process of the fast tests may take",
                red=True,
            )


class Worker:
    """One of several processes that run tests, and what it sends to the one that started it."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Puts the longest modules first, in every process alike."""
        ranks = {f"tests/{name}.py": rank for rank, name in enumerate(LONGEST)}
        items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))

    def pytest_collection(self) -> None:
        """Spares the collector of garbage what is collected here: it lives as long as this."""
        gc.disable()

    def pytest_collection_finish(self) -> None:
        """See `pytest_collection`."""
        gc.freeze()
        gc.enable()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        """Takes back the threads that a build gave torch for good."""
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Sends its peak."""
        session.config.workeroutput["peak_memory"] = peak_memory()  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """Chooses between the two sides."""
    config.pluginmanager.register(Worker() if hasattr(config, "workerinput") else Memory())
