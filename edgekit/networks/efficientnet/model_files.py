"""Networks of one's own as TOML files, which every command takes as a model.

A file names the variant that it sets out from, and what it has otherwise::

    base = "b0"
    name = "doorbell"
    resolution = 96
    stem = 16
    head = 512
    stages = ["r1_k3_s1_e1_i16_o16", "r2_k3_s2_e4_i16_o24_c1", "r3_k5_s2_e6_i24_o48_se0.25"]

Any field of `ModelSpec` may be said but its decoder, which is the base's.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.block_plan import SQUEEZE_RULES, STEM_HALVINGS
from edgekit.networks.efficientnet.scaling import RESOLUTIONS
from edgekit.networks.efficientnet.spec import HEAD_LAYERS, SPECS, ModelSpec
from edgekit.networks.efficientnet.stages import StageSpec
from edgekit.system.files import write_bytes
from edgekit.system.paths import StrPath

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENDING = ".toml"
BASE = "base"
#: Of a network's name, which becomes part of names of files.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_KNOWN = tuple(field.name for field in fields(ModelSpec) if field.name != "decoder")
#: By field: what tells a wrong value, in words, of those whose type does not.
_WORDS = {
    "activation": ("swish", "hard-swish", "relu6", "relu"),
    "padding": ("same", "symmetric", "native"),
    "interpolation": ("bicubic", "bilinear"),
    "stem_layers": tuple(STEM_HALVINGS),
    "head_layers": HEAD_LAYERS,
    "squeeze_rule": tuple(SQUEEZE_RULES),
}


def read_model(path: StrPath, find: Callable[[str], ModelSpec]) -> ModelSpec:
    """Reads a network from a file.

    Args:
        path: of the file.
        find: gives the base by its name.

    Raises:
        UsageError: it cannot be read, or a value in it cannot be used.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read the model {path}", cause=error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML", cause=str(error)) from error
    base = table.pop(BASE, "b0")
    if not isinstance(base, str) or base.lower().endswith(ENDING):
        raise UsageError(f"{path}: {BASE} must be the name of a variant, not {base!r}")
    table.setdefault("name", _named(path))
    return model_of(table, find(base), str(path))


def model_of(table: Mapping[str, Any], base: ModelSpec, where: str) -> ModelSpec:
    """A network that is a base but for what a table says.

    Args:
        table: values by the names of fields of `ModelSpec`.
        base: the others are of.
        where: the table is from, for messages.

    Raises:
        UsageError: a value cannot be used.
    """
    if unknown := [name for name in table if name not in _KNOWN]:
        hint = did_you_mean(unknown[0], (BASE, *_KNOWN))
        raise UsageError(f"{where}: a network has no '{unknown[0]}'", hint=hint)
    values = {name: _value(name, value, base, where) for name, value in table.items()}
    spec = replace(base, **values)
    _check(spec, where)
    return spec


def write_model(spec: ModelSpec, path: StrPath, *, base: str, comment: str = "") -> None:
    """Writes a file that `read_model` reads as the same network.

    Args:
        spec: the network.
        path: of the file; an existing one is replaced.
        base: the variant that it sets out from; what is as there is left out.
        comment: lines at the beginning, for people.
    """
    origin = (SPECS | BASELINES)[base]
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines.append(f"{BASE} = {json.dumps(base)}")
    for name in _KNOWN:
        value = getattr(spec, name)
        if name == "name" or value != getattr(origin, name):
            lines.append(f"{name} = {_toml(value)}")
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _named(path: Path) -> str:
    """A name for a network whose file gives none: the file's."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    return name[:64] or "network"


def _value(name: str, value: Any, base: ModelSpec, where: str) -> Any:
    """A value of the type that the field has."""
    own = getattr(base, name)
    if isinstance(own, tuple):
        kind: type = type(own[0])
        if isinstance(value, list) and value and all(_is(kind, one) for one in value):
            return tuple(kind(one) for one in value)
        raise UsageError(f"{where}: {name} must be a list, such as {_toml(own)}")
    if not _is(type(own), value):
        raise UsageError(f"{where}: {name} must be such as {_toml(own)}, not {value!r}")
    return type(own)(value)


def _is(kind: type, value: Any) -> bool:
    """Whether a value of TOML is of a type; whole numbers are real ones as well."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _check(spec: ModelSpec, where: str) -> None:
    """Raises UsageError where no network has these values."""
    if not re.fullmatch(_NAME, spec.name):
        raise UsageError(
            f"{where}: the name '{spec.name}' cannot be part of a file's",
            hint="letters, digits, points, hyphens and underscores",
        )
    for name, words in _WORDS.items():
        if getattr(spec, name) not in words:
            hint = did_you_mean(getattr(spec, name), words)
            raise UsageError(f"{where}: unknown {name} '{getattr(spec, name)}'", hint=hint)
    limits = {
        "width": 0 < spec.width <= 10,
        "depth": 0 < spec.depth <= 10,
        "resolution": RESOLUTIONS[0] <= spec.resolution <= RESOLUTIONS[1],
        "dropout": 0 <= spec.dropout < 1,
        "survival": 0 < spec.survival <= 1,
        "crop": 0 < spec.crop <= 1,
        "epsilon": 0 < spec.epsilon < 1,
        "round_limit": 0 <= spec.round_limit <= 1,
        "stem": 1 <= spec.stem <= 4096,
        "head": 1 <= spec.head <= 65536,
        "hidden": 1 <= spec.hidden <= 65536,
        "mean": len(spec.mean) == 3,
        "std": len(spec.std) == 3 and all(value > 0 for value in spec.std),
    }
    if wrong := [name for name, right in limits.items() if not right]:
        raise UsageError(f"{where}: {wrong[0]} is out of range: {getattr(spec, wrong[0])}")
    made = spec.stem
    for place, text in enumerate(spec.stages, 1):
        try:
            stage = StageSpec.parse(text)
        except UsageError as error:
            message = f"{where}: stage {place} is no string of a stage: {error.message}"
            raise UsageError(message, cause=error.cause, hint=error.hint) from error
        if place == 1 and stage.continues:
            raise UsageError(f"{where}: stage 1 continues none", hint="leave out _cont")
        if place > 1 and stage.in_filters != made:
            raise UsageError(
                f"{where}: stage {place} begins with {stage.in_filters} channels, and stage "
                f"{place - 1} ends with {made}",
                hint=f"i{made} in {text}",
            )
        made = stage.out_filters


def _toml(value: Any) -> str:
    """A value as TOML has it; strings and lists are written as in JSON."""
    if isinstance(value, tuple):
        rows = [_toml(one) for one in value]
        text = f"[{', '.join(rows)}]"
        return text if len(text) < 80 else "[\n" + "".join(f"    {row},\n" for row in rows) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)
