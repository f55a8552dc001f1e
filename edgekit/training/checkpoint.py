"""Checkpoints of a training run: written whole or not at all, and the last two are kept."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import EdgekitError
from edgekit.system.files import write_bytes

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"
NEXT = "checkpoint-next.pt"  # while it is written

State = dict[str, Any]


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: where they lie.
        warn: told of one that cannot be read.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None] | None = None) -> None:
        self.latest, self.previous = folder / CHECKPOINT, folder / PREVIOUS
        self._next = folder / NEXT
        self.warn = warn or (lambda text: None)

    def save(self, state: State) -> None:
        """Keeps a state; the one before it is kept, too.

        Raises:
            OSError: it cannot be written, for example as the disk is full; both older ones stay.
        """
        contents = io.BytesIO()  # so that a full disk is an OSError with its reason
        torch.save(state, contents)
        write_bytes(self._next, contents.getvalue())
        if self.latest.exists():
            os.replace(self.latest, self.previous)
        os.replace(self._next, self.latest)

    def contents(self) -> bytes:
        """The bytes of the latest state that can be read; empty where there is none.

        Raises:
            EdgekitError: there are checkpoints, and none of them can be read.
        """
        found = [path for path in (self.latest, self.previous) if path.exists()]
        reasons = []
        for path in found:
            try:
                contents = path.read_bytes()
                read(contents, torch.device("cpu"))
            except Exception as error:  # a damaged file makes torch raise almost anything
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                reasons.append(f"{path.name}: {reason[:200]}")
                continue
            for reason in reasons:
                self.warn(f"a damaged checkpoint is passed over; {reason}")
            return contents
        if reasons:
            raise EdgekitError(
                "no checkpoint of the interrupted training can be read",
                cause="; ".join(reasons),
                hint="--no-resume trains anew",
            )
        return b""

    def remove(self) -> None:
        """Removes them, once the run is at its end."""
        for path in (self.latest, self.previous, self._next):
            path.unlink(missing_ok=True)


def read(contents: bytes, device: torch.device) -> State:
    """The state that was saved, its tensors on a device; runs no code of the file's.

    Raises:
        Exception: the contents are no state, or are damaged; of many kinds.
    """
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:  # torch compares no checksums
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} is wrong")
    state: State = torch.load(io.BytesIO(contents), map_location=device, weights_only=True)
    return state
