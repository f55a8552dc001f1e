"""Which recipes a build trains with: files by name, and the options on top of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

from edgekit.errors import UsageError
from edgekit.options.build import BuildOptions
from edgekit.tasks.registry import find_task
from edgekit.training.recipe import TEACHER_ALONE, UNWEIGHTED, QatRecipe, Recipe, StudentRecipe
from edgekit.training.recipe_files import RecipeFile, make, named, read_recipe

#: What training in 8 bits takes from the options of training.
SHARED = (
    "batch_size",
    "loss",
    "class_weights",
    "label_smoothing",
    "ema_decay",
    "min_crop_area",
    "flip",
    "seed",
)


def make_recipe(options: BuildOptions) -> Recipe:
    """The training recipe that the options ask for.

    Raises:
        UsageError: a recipe or a value cannot be used, or the photos do not go with it.
    """
    fine_tuning, recipes = options.start != "none", find_task(options.spec.task).recipes
    file, defaults = _find(options, ("train", "noisy-student")), _builtin(options)
    if file is None:
        shapes = options.data is None and not fine_tuning
        name = recipes.finetune if fine_tuning else recipes.shapes if shapes else recipes.scratch
        file = read_recipe(name, model=options.spec.name)
    given = defaults | _given(options, (field.name for field in dataclasses.fields(Recipe)))
    if file.kind == "noisy-student":
        given |= _given(options, own_fields(StudentRecipe), "student_")
    recipe = make(file, given, fine_tuning=fine_tuning)
    _check(options, recipe)
    return recipe


def _check(options: BuildOptions, recipe: Recipe) -> None:
    """Refuses, before anything is read, what the network's task cannot do.

    Raises:
        UsageError: it lacks what is asked for, or has no such loss.
    """
    task = find_task(options.spec.task)
    asked = {
        "embedding": options.head == "none",
        "mixup": recipe.mixup > 0,
        "cutmix": recipe.cutmix > 0,
        "noisy-student": isinstance(recipe, StudentRecipe),
        "--photos": options.photos is not None,
    }
    for name, reason in task.lacking.items():
        if asked[name]:
            raise UsageError(f"{task.name} has no {name}", cause=reason)
    if options.spec.decoder is not None and recipe.stages > 1 and recipe.first_size < 1:
        raise UsageError(
            f"{options.spec.name} cannot be trained at sizes that grow",
            cause="its decoder resizes maps to fixed sizes",
            hint="--first-size 1, or --stages 1",
        )
    if recipe.loss or recipe.class_weights != UNWEIGHTED:  # torch takes a second to import
        task.learning.check(recipe.objective(lambda: (1.0,)))


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
    own = {name: value for name, value in _own_loss(options).items() if name not in file.values}
    given = own | _builtin(options) | _given(options, SHARED)
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
    """What holds of all training on the built-in photos."""
    if options.data is not None:
        return {}
    shapes = read_recipe(find_task(options.spec.task).recipes.shapes)
    return {"min_crop_area": shapes.values["min_crop_area"]}


def _own_loss(options: BuildOptions) -> dict[str, Any]:
    """What the task's recipe says of the loss, which holds of training in 8 bits, too."""
    values = read_recipe(find_task(options.spec.task).recipes.finetune).values
    return {name: values[name] for name in ("loss", "label_smoothing") if name in values}


def _given(options: BuildOptions, fields: Iterable[str], prefix: str = "") -> dict[str, Any]:
    """The options of these fields, as far as they were given."""
    values = {name: getattr(options, prefix + name, None) for name in fields}
    return {name: value for name, value in values.items() if value is not None}
