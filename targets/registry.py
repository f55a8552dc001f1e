"""Finds targets by name: our own, and those that other packages announce.

A package adds a target by an entry point of the group `edgekit.targets` that names a subclass of
`edgekit.targets.base.Target`. Our own are also known without one, so that a plain checkout works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.targets.base import Target

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from edgekit.converters.tflite.file import TFLiteModel

GROUP = "edgekit.targets"
OWN = {
    "tflite": "edgekit.targets.tflite:TFLiteTarget",
    "edgetpu": "edgekit.targets.edgetpu.target:EdgeTPUTarget",
    "openvino": "edgekit.targets.openvino:OpenVINOTarget",
    "onnx": "edgekit.targets.onnx:OnnxTarget",
}
#: Ours that have a compiler: their options are those of `edgekit compile`.
COMPILERS = ("edgetpu",)
#: Of `edgekit check` and `edgekit compile` where none is named.
DEFAULT = COMPILERS[0]


def names() -> list[str]:
    """Returns the names of all targets, ours first."""
    return [*OWN, *_others()]


def find(name: str) -> Target:
    """Returns the target of that name.

    Raises:
        UsageError: there is none of that name.
        EdgekitError: the package that announces it cannot be used.
    """
    entry = None if name in OWN else _others().get(name)
    if name not in OWN and entry is None:
        raise UsageError(f"unknown target '{name}'", hint=did_you_mean(name, names()))
    source = _source(entry) if entry else OWN[name]
    try:
        target = (entry.load() if entry else resolve_name(OWN[name]))()
    except Exception as error:  # another package's code: whatever it raises is its own fault
        raise EdgekitError(
            f"target '{name}' cannot be loaded from {source}",
            cause=f"{type(error).__name__}: {error}",
            hint="install that package again, or remove it",
        ) from error
    if not isinstance(target, Target):
        raise EdgekitError(
            f"target '{name}' of {source} is no target",
            cause=f"{entry.value if entry else source} is not a subclass of "
            "edgekit.targets.base.Target",
        )
    return target


def usable() -> Iterator[Target]:
    """Yields all targets, ours first, without those of packages that cannot be used."""
    for name in names():
        with suppress(EdgekitError):
            yield find(name)


def compiled_for(model: TFLiteModel) -> Target | None:
    """Returns the target whose compiler has made a file; None where none has."""
    if not model.custom_codes:
        return None
    return next((t for t in usable() if t.custom_operator in model.custom_codes), None)


def _others() -> dict[str, EntryPoint]:
    """What other packages announce; a look at all that is installed."""
    from importlib.metadata import entry_points  # it takes a seventh of the program's start

    found = {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in OWN}
    return dict(sorted(found.items()))


def _source(entry: EntryPoint) -> str:
    return f"package '{entry.dist.name}'" if entry.dist else entry.value
