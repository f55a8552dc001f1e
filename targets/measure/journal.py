"""What was measured on a device so far: a run that broke off goes on from there."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError

KEEP_S = 24 * 3600.0  # an older one is of another day, and is begun again


class Journal:
    """A file of JSON lines: results of steps, and outputs of photos.

    Args:
        path: of the file; it need not exist.

    Attributes:
        results: the last message of each step that is done, by the step's name.
        outputs: by the step's name, the raw output of each photo by its number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, dict[int, bytes]] = {}
        try:
            fresh = time.time() - path.stat().st_mtime < KEEP_S
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if fresh else []
        except OSError:
            lines = []
        for line in lines:
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                break  # the line that was being written when the power went
        text = "".join(json.dumps(entry) + "\n" for entry in self._entries())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._unwritten(error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # the disk is full: that has been said
            self._file.close()

    def result(self, step: str, message: dict[str, Any]) -> None:
        """Keeps the result of a step."""
        self._keep({"step": step, "result": message})

    def output(self, step: str, photo: int, output: bytes) -> None:
        """Keeps the output of a photo."""
        text = base64.b64encode(output).decode("ascii")
        self._keep({"step": step, "photo": photo, "output": text})

    def forget(self) -> None:
        """Removes the file: everything is done."""
        self.path.unlink(missing_ok=True)

    def _keep(self, entry: dict[str, Any]) -> None:
        self._take(entry)
        try:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> EdgekitError:
        return EdgekitError(
            f"cannot write {self.path}", cause=error.strerror, hint="free some space"
        )

    def _take(self, entry: dict[str, Any]) -> None:
        if "photo" in entry:
            outputs = self.outputs.setdefault(entry["step"], {})
            outputs[int(entry["photo"])] = base64.b64decode(entry["output"])
        else:
            self.results[entry["step"]] = entry["result"]

    def _entries(self) -> list[dict[str, Any]]:
        return [
            *({"step": step, "result": result} for step, result in self.results.items()),
            *(
                {"step": step, "photo": k, "output": base64.b64encode(output).decode("ascii")}
                for step, outputs in self.outputs.items()
                for k, output in outputs.items()
            ),
        ]
