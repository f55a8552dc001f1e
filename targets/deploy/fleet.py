"""A model on many devices: a few first, the others only where these answer as the host does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.system.files import read_json, write_json
from edgekit.system.paths import StrPath
from edgekit.targets.deploy.record import Deployed
from edgekit.targets.devices.open import check_url

#: States of a device in a roll-out.
DONE, EARLIER, FAILED, WAITING = "deployed", "deployed before", "failed", "waits"
#: Connections at once.
AT_ONCE = 8
SCHEMA_VERSION = 1

#: Deploys to a device by its URL.
DeployOne = Callable[[str], Deployed]


@dataclass(frozen=True)
class Outcome:
    """Of one device.

    Attributes:
        url: of it.
        state: one of the states above.
        detail: what was checked, or what went wrong.
        seconds: that it took; None where nothing was done.
        exit_code: of what went wrong; 0 where nothing did.
    """

    url: str
    state: str
    detail: str = ""
    seconds: float | None = None
    exit_code: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {**vars(self)}


def read_devices(path: StrPath) -> tuple[str, ...]:
    """Reads URLs of devices, one a line; ``#`` begins a comment.

    Raises:
        UsageError: the file cannot be read, has no URL, or one that is none or stands there twice.
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read the devices in {path}", cause=cause) from error
    found: list[str] = []
    for number, line in enumerate(lines, 1):
        url = line.partition("#")[0].strip()
        if not url:
            continue
        try:
            check_url(url)
            if url.startswith("adb:"):
                raise UsageError(f"{url} is a phone", cause="an app is built for it, not put there")
        except UsageError as error:
            where = f"{path}, line {number}: {error.message}"
            raise UsageError(where, cause=error.cause, hint=error.hint) from error
        if url in found:
            raise UsageError(f"{path}, line {number}: {url} is there twice")
        found.append(url)
    if not found:
        raise UsageError(f"{path} names no device", hint="a URL a line: ssh://pi@raspberrypi")
    return tuple(found)


@dataclass
class RollOut:
    """Which devices have a model already; kept after each, so that a roll-out can go on.

    Attributes:
        path: of its file.
        model: hash of what is deployed; another one begins anew.
        done: what was checked, by the device's URL.
    """

    path: Path
    model: str
    done: dict[str, str]

    @classmethod
    def open(cls, path: StrPath, model: str) -> RollOut:
        """Reads one, or begins it where there is none of this model."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = read_json(path)
            if (record["schema_version"], record["model"]) == (SCHEMA_VERSION, model):
                done = {str(url): str(text) for url, text in record["done"].items()}
                return cls(Path(path), model, done)
        return cls(Path(path), model, {})

    def add(self, url: str, text: str) -> None:
        """Keeps that a device has the model."""
        self.done[url] = text
        record = {"schema_version": SCHEMA_VERSION, "model": self.model, "done": self.done}
        write_json(self.path, record)


def roll_out(
    urls: Sequence[str],
    deploy_one: DeployOne,
    journal: RollOut,
    tell: Callable[[Outcome], None],
    first: int = 2,
) -> list[Outcome]:
    """Deploys to all devices that have not got the model yet.

    The first few go one after the other; where one of them fails, the others are left alone.

    Args:
        urls: of the devices, in order.
        deploy_one: deploys, and checks what the device answers.
        journal: of the roll-out.
        tell: is called with each outcome as it is known.
        first: how many go before all others.

    Returns:
        The outcome of each device, in order.
    """
    outcomes: dict[str, Outcome] = {}
    lock = Lock()

    def do(url: str) -> Outcome:
        began = time.monotonic()
        try:
            done = deploy_one(url)
            outcome = Outcome(url, DONE, done.checked, time.monotonic() - began)
        except EdgekitError as error:
            text = ": ".join(filter(None, [error.message, error.cause]))
            took = time.monotonic() - began
            outcome = Outcome(url, FAILED, text, took, error.exit_code)
        with lock:
            if outcome.state == DONE:
                journal.add(url, outcome.detail)
            outcomes[url] = outcome
            tell(outcome)
        return outcome

    left = []
    for url in urls:
        if url in journal.done:
            outcomes[url] = Outcome(url, EARLIER, journal.done[url])
        else:
            left.append(url)
    pilots, others = left[:first], left[first:]
    if all(do(url).state == DONE for url in pilots):
        _all(do, others)
    waiting = {url: Outcome(url, WAITING) for url in urls}
    return [{**waiting, **outcomes}[url] for url in urls]


def _all(do: Callable[[str], Outcome], urls: Iterable[str]) -> None:
    """Several at once; an interrupt leaves those that have not begun."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(do, url) for url in urls]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def document(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as one JSON document."""
    rows = [one.to_dict() for one in outcomes]
    return json.dumps({"schema_version": SCHEMA_VERSION, "devices": rows}, indent=2)
