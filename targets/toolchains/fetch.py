"""Fetches the wheels of a toolchain with pip, each of them once, whatever interrupts it."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.system.console import Progress
from edgekit.system.download import is_offline
from edgekit.system.hashing import hash_file
from edgekit.system.text import size
from edgekit.targets.toolchains.pip_calls import (
    HASHED,
    StoppedError,
    pip_of,
    run_pip,
    wrong_hash,
)
from edgekit.targets.toolchains.requirements import Requirement

AT_ONCE = 4  # pips: most of their time they wait for the network
POLL_S = 0.2


def fetch(requirements: list[Requirement], folder: Path, progress: Progress | None = None) -> Path:
    """Fetches all wheels that are not in a folder yet, and returns the folder that has them.

    A wheel is in ``wheels`` when its hash is right, and not before; what was being fetched when a
    run ended is fetched again. pip's own settings apply: index, mirrors, proxy, certificates.

    Args:
        requirements: the packages.
        folder: what is kept of an installation that has not ended.
        progress: called with how many packages there are.

    Raises:
        EdgekitError: one of them cannot be fetched, or is another file than expected.
    """
    wheels, current = folder / "wheels", folder / "current"
    shutil.rmtree(current, ignore_errors=True)
    wheels.mkdir(parents=True, exist_ok=True)
    current.mkdir()
    missing = [item for item in requirements if not _has(wheels, item)]
    if missing and is_offline():
        raise EdgekitError(
            f"cannot fetch {missing[0]}", cause="EDGEKIT_OFFLINE forbids the network"
        )
    pip = pip_of(Path(sys.executable), folder / "pip")
    stop, total = threading.Event(), len(requirements)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running: set[Future[None]] = {
            pool.submit(_fetch_one, pip, item, current / str(number), wheels, stop)
            for number, item in enumerate(missing)
        }
        arrived = 0
        try:
            while running:
                if progress is not None:
                    arrived = max(arrived, _bytes(wheels) + _bytes(current))
                    progress("fetch", total - len(running), total, size(arrived))
                done, running = wait(running, POLL_S, FIRST_COMPLETED)
                for future in done:
                    future.result()
        except EdgekitError as error:
            stop.set()
            raise _with_count(error, requirements, wheels) from error
        finally:
            stop.set()
            for future in running:
                future.cancel()
    shutil.rmtree(current, ignore_errors=True)
    return wheels


KEPT = "what has arrived is kept"


def _with_count(error: EdgekitError, requirements: list[Requirement], wheels: Path) -> EdgekitError:
    """Says how many packages the next attempt needs not fetch."""
    have = sum(_has(wheels, item) for item in requirements)
    count = f"{have} of {len(requirements)} packages have arrived and are kept"
    hint = error.hint.replace(KEPT, count) if error.hint else None
    return EdgekitError(error.message, cause=error.cause, hint=hint)


def _fetch_one(
    pip: list[str], item: Requirement, folder: Path, wheels: Path, stop: threading.Event
) -> None:
    if stop.is_set():
        raise StoppedError
    (folder / "tmp").mkdir(parents=True)
    file, made = folder / "requirements.txt", folder / "made"
    file.write_text(item.line + "\n", "utf-8")
    command = [*pip, "download", *HASHED]
    command += ["--progress-bar", "off", "-d", str(made), "-r", str(file)]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    failure = run_pip(command, folder / "log", environment=environment, stop=stop)
    if failure is not None:
        raise failure.error(str(item), KEPT)
    for wheel in made.glob("*"):
        if (found := hash_file(wheel)) not in item.hashes:
            raise wrong_hash(str(item), found)
        os.replace(wheel, wheels / wheel.name)


def _has(wheels: Path, item: Requirement) -> bool:
    return any(
        hash_file(path) in item.hashes for path in wheels.glob("*.whl") if item.is_of(path.name)
    )


def _bytes(folder: Path) -> int:
    total = 0
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "made"]  # pip's copies of what it fetched
        for name in files:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except OSError:  # pip has moved it meanwhile
                continue
    return total
