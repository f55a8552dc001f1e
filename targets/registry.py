"""Finds targets by name: our own, and those that other packages announce.

A package adds a target by an entry point of the group `edgekit.targets` that names a subclass of
`edgekit.targets.base.Target`. Our own are also known without one, so that a plain checkout works.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.targets.base import Target

GROUP = "edgekit.targets"
_OWN = {
    "tflite": "edgekit.targets.tflite:TFLiteTarget",
    "edgetpu": "edgekit.targets.edgetpu.target:EdgeTPUTarget",
    "openvino": "edgekit.targets.openvino:OpenVINOTarget",
    "onnx": "edgekit.targets.onnx:OnnxTarget",
}


def names() -> list[str]:
    """Returns the names of all targets, ours first."""
    return list(_known())


def find(name: str) -> Target:
    """Returns the target of that name.

    Raises:
        UsageError: there is none of that name.
        EdgekitError: the package that announces it cannot be used.
    """
    known = _known()
    if name not in known:
        raise UsageError(f"unknown target '{name}'", hint=did_you_mean(name, known))
    entry = known[name]
    try:
        target = entry.load()()
    except Exception as error:  # another package's code: whatever it raises is its own fault
        raise EdgekitError(
            f"target '{name}' cannot be loaded from {_source(entry)}",
            cause=f"{type(error).__name__}: {error}",
            hint="install that package again, or remove it",
        ) from error
    if not isinstance(target, Target):
        raise EdgekitError(
            f"target '{name}' of {_source(entry)} is no target",
            cause=f"{entry.value} is not a subclass of edgekit.targets.base.Target",
        )
    return target


def _known() -> dict[str, EntryPoint]:
    own = {name: EntryPoint(name, value, GROUP) for name, value in _OWN.items()}
    others = {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in own}
    return own | dict(sorted(others.items()))


def _source(entry: EntryPoint) -> str:
    return f"package '{entry.dist.name}'" if entry.dist else entry.value
