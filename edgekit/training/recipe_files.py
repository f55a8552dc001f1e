"""Recipes as data: TOML files in the package or the user's, and what is given on top of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from edgekit.errors import UsageError, did_you_mean
from edgekit.system.toml import read_toml
from edgekit.training.recipe import (
    LEARNING_RATES,
    LONG_RUN,
    QatRecipe,
    Recipe,
    StudentRecipe,
)

FOLDER = Path(__file__).parent / "recipes"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))

#: What a file can describe; ``kind`` in it says which.
KINDS: dict[str, type[Recipe]] = {
    "train": Recipe,
    "qat": QatRecipe,
    "noisy-student": StudentRecipe,
}


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as it was written.

    Attributes:
        name: as it was asked for.
        kind: one of `KINDS`.
        values: of the recipe's fields, as far as the file has them.
        rate_batch: the photos per step that the learning rate is for; None: any number.
    """

    name: str
    kind: str
    values: Mapping[str, Any]
    rate_batch: int | None


def read_recipe(name: str, *, model: str = "") -> RecipeFile:
    """Reads a recipe of the package by its name, or a file of the user's by its path.

    Args:
        name: one of `NAMES`, or a path that ends with ``.toml``.
        model: the variant, whose own table ``[variants.MODEL]`` has the last word.

    Raises:
        UsageError: there is no such recipe, or the file cannot be used.
    """
    path = FOLDER / f"{name}.toml" if name in NAMES else Path(name)
    if not path.exists():
        hint = "check the path" if path.suffix == ".toml" else did_you_mean(name, NAMES)
        raise UsageError(f"there is no recipe '{name}'", hint=hint)
    table = read_toml(path, "recipe")
    kind = table.pop("kind", "train")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _damaged(name, f"kind = {kind!r}", did_you_mean(str(kind), KINDS))
    variants = table.pop("variants", {})
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        raise _damaged(name, "variants is not a table of tables", "[variants.b0]")
    for values in variants.values():  # also those of other models: a slip in them is one, too
        _check(name, KINDS[kind], values)
    table |= variants.get(model, {})
    table = _check(name, KINDS[kind], table)
    rate_batch = table.pop("rate_batch", None)
    return RecipeFile(name, kind, table, rate_batch)


def make(file: RecipeFile, given: Mapping[str, Any], *, fine_tuning: bool) -> Recipe:
    """Puts a recipe together: the file's values, and on top of them those that were given.

    Where neither says so: the warm-up takes a tenth of the epochs, at most one, and drop-connect
    is for long runs. A learning rate that was given holds as it is; one of the file is scaled
    with the batch (Goyal et al. 2017, section 2.1), and another optimizer brings its own.

    Args:
        file: the recipe as it was written.
        given: values of fields; None for those that were not given.
        fine_tuning: whether training starts from trained weights.

    Raises:
        UsageError: a value is out of range, or the recipe has no epochs.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    values = {**file.values, **asked}
    rate_batch = file.rate_batch
    optimizer = values.setdefault("optimizer", "adamw")
    if optimizer != file.values.get("optimizer", "adamw") and optimizer in LEARNING_RATES:
        values["learning_rate"], rate_batch = LEARNING_RATES[optimizer][fine_tuning], 32
    if "learning_rate" in asked:
        values["learning_rate"] = asked["learning_rate"]
    elif rate_batch and "learning_rate" in values:
        values["learning_rate"] *= values.get("batch_size", Recipe.batch_size) / rate_batch
    if "epochs" not in values:
        raise UsageError(f"the recipe {file.name} names no epochs", hint="--epochs")
    epochs = values["epochs"]
    values.setdefault("warmup_epochs", min(1.0, epochs / 10))
    # Against overfitting in hundreds of epochs; a few are only slowed down by it.
    values.setdefault("drop_connect", epochs >= LONG_RUN)
    return KINDS[file.kind](**values)


def named(name: str, *, model: str = "", fine_tuning: bool = False, **given: Any) -> Recipe:
    """Returns the recipe of a name or file with what is given; see `read_recipe` and `make`."""
    return make(read_recipe(name, model=model), given, fine_tuning=fine_tuning)


def _check(name: str, recipe: type[Recipe], table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values with whole numbers as floats where the field is one."""
    hints = get_type_hints(recipe) | {"rate_batch": int}
    checked: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            raise _damaged(name, f"nothing is called '{key}'", did_you_mean(key, hints))
        wanted = next(
            kind for kind in (*get_args(hints[key]), hints[key]) if kind is not type(None)
        )
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise _damaged(name, f"{key} = {value!r} is no {cast(type, wanted).__name__}", None)
        checked[key] = value
    if checked.get("rate_batch", 1) < 1:
        raise _damaged(name, "rate_batch must be at least 1", None)
    return checked


def _damaged(name: str, cause: str, hint: str | None) -> UsageError:
    fields = ", ".join(field.name for field in dataclasses.fields(Recipe))
    return UsageError(
        f"the recipe {name} cannot be used", cause=cause, hint=hint or f"fields: {fields}"
    )
