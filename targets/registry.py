"""Finds targets by name: our own, and those that other packages announce.

A package adds a target by an entry point of the group `edgekit.targets` that names a subclass of
`edgekit.targets.base.Target`. Our own are also known without one, so that a plain checkout works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, fields
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.targets.base import Target

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from edgekit.converters.tflite.file import TFLiteModel
    from edgekit.targets.toolchains.toolchain import Toolchain

GROUP = "edgekit.targets"
OWN = {
    "tflite": "edgekit.targets.tflite:TFLiteTarget",
    "edgetpu": "edgekit.targets.edgetpu.target:EdgeTPUTarget",
    "openvino": "edgekit.targets.openvino:OpenVINOTarget",
    "onnx": "edgekit.targets.onnx:OnnxTarget",
    "tflm": "edgekit.targets.tflm.target:TFLMTarget",
    "ethosu": "edgekit.targets.ethosu.target:EthosUTarget",
    "qnn": "edgekit.targets.qnn.target:QNNTarget",
    "rknn": "edgekit.targets.rknn.target:RKNNTarget",
    "executorch": "edgekit.targets.executorch.target:ExecuTorchTarget",
    "imx500": "edgekit.targets.imx500.target:IMX500Target",
}
#: Ours that have a compiler: their options are those of `edgekit compile`.
COMPILERS = ("edgetpu", "ethosu", "qnn", "rknn", "imx500")
#: Ours that write sources for a chip: each is an option of `edgekit deploy`.
PROJECTS = ("tflm",)
#: Of `edgekit check` and `edgekit compile` where none is named.
DEFAULT = COMPILERS[0]


def names() -> list[str]:
    """Returns the names of all targets, ours first."""
    return [*OWN, *_others()]


def find(name: str, given: Mapping[str, Any] | None = None) -> Target:
    """Returns the target of that name.

    Args:
        name: of the target.
        given: values of its options, by the names of their fields; the others are its defaults.

    Raises:
        UsageError: there is none of that name, or it takes no such options.
        EdgekitError: the package that announces it cannot be used.
    """
    entry = None if name in OWN else _others().get(name)
    if name not in OWN and entry is None:
        raise UsageError(f"unknown target '{name}'", hint=did_you_mean(name, names()))
    source = _source(entry) if entry else OWN[name]
    try:
        kind = entry.load() if entry else resolve_name(OWN[name])
        if not (isinstance(kind, type) and issubclass(kind, Target)):
            raise EdgekitError(
                f"target '{name}' of {source} is no target",
                cause=f"{entry.value if entry else source} is not a subclass of "
                "edgekit.targets.base.Target",
            )
        return kind(_options(name, kind, given) if given else None)
    except EdgekitError:
        raise
    except Exception as error:  # another package's code: whatever it raises is its own fault
        raise EdgekitError(
            f"target '{name}' cannot be loaded from {source}",
            cause=f"{type(error).__name__}: {error}",
            hint="install that package again, or remove it",
        ) from error


def find_all(names: Sequence[str], settings: Sequence[str] = ()) -> list[Target]:
    """Returns the targets of these names, with options as ``--target-option`` gives them.

    Args:
        names: of the targets.
        settings: each ``TARGET.OPTION=VALUE``.

    Raises:
        UsageError: there is none of that name, or it takes no such option or value.
    """
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    for text in settings:
        word, equals, value = text.partition("=")
        name, dot, option = word.partition(".")
        if not (equals and dot and option):
            raise UsageError("--target-option must be TARGET.OPTION=VALUE", cause=f"it is '{text}'")
        if name not in given:
            raise UsageError(
                f"--target-option {text} is for another target", hint=f"add --target {name}"
            )
        given[name] |= parse_option(find(name), option, value)
    return [find(name, options) for name, options in given.items()]


def parse_option(target: Target, option: str, text: str) -> dict[str, Any]:
    """Reads the value of one of a target's options; returns it by the name of its field.

    Raises:
        UsageError: the target has no such option, or it does not take the value.
    """
    fields = {option_flag(item): item for item in option_fields(target.compiler_options)}
    if option not in fields:
        raise UsageError(
            f"the target {target.name} has no option '{option}'",
            hint=did_you_mean(option, fields) if fields else "it takes none",
        )
    item = fields[option]
    if separator := item.metadata["separator"]:
        return {item.name: tuple(text.split(separator)) if text else ()}
    words = str(item.type)
    readers: dict[str, Any] = {"bool": _truth, "int": int, "float": float, "Path": Path}
    read = next((reader for word, reader in readers.items() if word in words), str)
    try:
        return {item.name: read(text)}
    except ValueError as error:
        raise UsageError(
            f"--target-option {target.name}.{option} takes {words}", cause=f"it is '{text}'"
        ) from error


def _truth(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]


def option_fields(kind: type[Any] | None) -> tuple[Field[Any], ...]:
    """Returns the fields of a target's options."""
    return fields(kind) if kind is not None else ()


def option_flag(item: Field[Any]) -> str:
    """Returns the name of an option for people."""
    return str(item.metadata["name"] or item.name.replace("_", "-"))


def _options(name: str, kind: type[Target], given: Mapping[str, Any]) -> Any:
    """The target's own options."""
    known = {item.name for item in option_fields(kind.compiler_options)}
    unknown = sorted(given.keys() - known)
    if unknown or kind.compiler_options is None:
        raise UsageError(
            f"the target {name} has no option '{(unknown or sorted(given))[0]}'",
            hint=did_you_mean(unknown[0], known) if known else "it takes none",
        )
    return kind.compiler_options(**given)


def usable() -> Iterator[Target]:
    """Yields all targets, ours first, without those of packages that cannot be used."""
    for name in names():
        with suppress(EdgekitError):
            yield find(name)


def toolchains() -> list[tuple[Toolchain, tuple[str, ...]]]:
    """Returns all makers' tools by name, each with the names of the targets that use it."""
    found: dict[str, Toolchain] = {}
    users: dict[str, list[str]] = {}
    for target in usable():
        for toolchain in target.toolchains:
            found.setdefault(toolchain.name, toolchain)
            users.setdefault(toolchain.name, []).append(target.name)
    return [(found[name], tuple(users[name])) for name in sorted(found)]


def find_toolchain(name: str) -> Toolchain:
    """Returns the maker's tool of that name.

    Raises:
        UsageError: no target uses one of that name.
    """
    known = {toolchain.name: toolchain for toolchain, _ in toolchains()}
    if name not in known:
        hint = did_you_mean(name, known) if known else "no target that is installed uses any"
        raise UsageError(f"unknown toolchain '{name}'", hint=hint)
    return known[name]


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
