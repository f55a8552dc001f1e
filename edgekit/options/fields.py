"""How an option is declared, and what its checks have in common."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field, fields
from math import inf
from typing import TYPE_CHECKING, Any

from edgekit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Fields that hold several values: the command line's name is the singular.
REPEATED = ("recipes", "targets", "target_options", "schemes", "tensor_ranges", "devices")
#: How the command line calls what names photos.
PHOTOS = "FOLDER|LIST|SHARDS"


def option(
    default: Any,
    text: str,
    metavar: str | None = None,
    *,
    known: Collection[str] = (),
    least: float | None = None,
    everyday: bool = False,
) -> Any:
    """A field with what the command line says about it.

    Args:
        default: of the option.
        text: its help.
        metavar: its value in the help.
        known: the values that it takes; empty for any.
        least: the smallest number that it takes.
        everyday: whether it is among the few that a first look shows.
    """
    meta = {
        "help": text,
        "metavar": metavar,
        "known": known,
        "least": least,
        "everyday": everyday,
    }
    return field(default=default, metadata=meta)


def option_name(field_name: str) -> str:
    """The command line's name of a field; one that may be repeated has a plural field."""
    if field_name in REPEATED:
        field_name = field_name.removesuffix("s")
    return field_name.replace("_", "-")


def check_known(name: str, value: str, known: Collection[str]) -> None:
    """Raises UsageError where a value is none of those that an option takes."""
    if value not in known:
        raise UsageError(f"{name} '{value}' is not known", hint=did_you_mean(value, known))


def check_values(options: DataclassInstance) -> None:
    """Raises UsageError where a value is not what its option declares."""
    for item in fields(options):
        value, name = getattr(options, item.name), f"--{option_name(item.name)}"
        known, least = item.metadata.get("known"), item.metadata.get("least")
        for one in value if isinstance(value, tuple) else (value,):
            if known and one is not None:
                check_known(name, one, known)
        if least is not None and value is not None and not least <= value < inf:
            bound = f"be at least {least}" if least else "not be negative"
            raise UsageError(f"{name} must {bound}")


def is_given(options: Any, prefix: str) -> bool:
    """Whether any option whose name begins so was given."""
    return any(v is not None for name, v in vars(options).items() if name.startswith(prefix))
