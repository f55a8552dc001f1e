"""Which recipes a build trains with: files by name, and the options on top of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

from edgekit.errors import UsageError
from edgekit.options.build import BuildOptions
from edgekit.training.recipe import TEACHER_ALONE, QatRecipe, Recipe, StudentRecipe
from edgekit.training.recipe_files import RecipeFile, make, named, read_recipe

#: Enough to learn the built-in shapes from random weights in a few minutes on two cores.
BUILTIN_EPOCHS = 7
#: A shape is where its outline is; a small crop of it is no shape.
BUILTIN_CROP_AREA = 0.7
#: What training in 8 bits takes from the options of training.
SHARED = ("batch_size", "label_smoothing", "ema_decay", "min_crop_area", "flip", "seed")


def make_recipe(options: BuildOptions) -> Recipe:
    """The training recipe that the options ask for.

    Raises:
        UsageError: a recipe or a value cannot be used, or the photos do not go with it.
    """
    fine_tuning = options.start != "none"
    file, defaults = _find(options, ("train", "noisy-student")), _builtin(options)
    if file is None:
        file = read_recipe("finetune" if fine_tuning else "scratch", model=options.spec.name)
        if options.data is None and not fine_tuning:
            defaults["epochs"] = BUILTIN_EPOCHS
    given = defaults | _given(options, (field.name for field in dataclasses.fields(Recipe)))
    if file.kind == "noisy-student":
        given |= _given(options, own_fields(StudentRecipe), "student_")
    return make(file, given, fine_tuning=fine_tuning)


def make_teacher(options: BuildOptions, student: StudentRecipe) -> Recipe:
    """The recipe of the first teacher: its own file, with the seed and the crop of the student."""
    given = {"seed": student.seed, "batch_size": options.batch_size, **_builtin(options)}
    model, fine_tuning = options.spec.name, options.start != "none"
    teacher = named(student.teacher, model=model, fine_tuning=fine_tuning, **given)
    if type(teacher) is not Recipe:
        raise UsageError(f"the recipe '{student.teacher}' trains no teacher")
    return teacher


def make_qat_recipe(options: BuildOptions) -> QatRecipe:
    """The recipe of quantization-aware training that the options ask for."""
    file = _find(options, ("qat",)) or read_recipe("qat", model=options.spec.name)
    given = _builtin(options) | _given(options, SHARED)
    given |= _given(options, ("epochs", *own_fields(QatRecipe)), "qat_")
    given["learning_rate"] = options.qat_rate
    if options.distill_only:
        given["label_share"] = TEACHER_ALONE
    return cast(QatRecipe, make(file, given, fine_tuning=True))


def own_fields(kind: type[Recipe]) -> list[str]:
    """The fields that a kind of recipe has beside those of training."""
    shared = {field.name for field in dataclasses.fields(Recipe)}
    return [field.name for field in dataclasses.fields(kind) if field.name not in shared]


def _find(options: BuildOptions, kinds: tuple[str, ...]) -> RecipeFile | None:
    files = [read_recipe(name, model=options.spec.name) for name in options.recipes]
    found = [file for file in files if file.kind in kinds]
    if len(found) > 1:
        raise UsageError(
            f"two recipes for the same training: {found[0].name} and {found[1].name}",
            hint="one for training, and one for training in 8 bits",
        )
    return found[0] if found else None


def _builtin(options: BuildOptions) -> dict[str, Any]:
    return {"min_crop_area": BUILTIN_CROP_AREA} if options.data is None else {}


def _given(options: BuildOptions, fields: Iterable[str], prefix: str = "") -> dict[str, Any]:
    """The options of these fields, as far as they were given."""
    values = {name: getattr(options, prefix + name, None) for name in fields}
    return {name: value for name, value in values.items() if value is not None}
