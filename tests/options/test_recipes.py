"""The options of a build reach its recipes, each of them."""

import dataclasses

import pytest

from edgekit.errors import UsageError
from edgekit.options.build import BuildOptions
from edgekit.options.recipes import (
    SHARED,
    make_qat_recipe,
    make_recipe,
    make_teacher,
)
from edgekit.training.recipe import QatRecipe, Recipe, StudentRecipe
from edgekit.training.recipe_files import named


def options(**given):
    """Of a build with photos of the user's; nothing is read from them here."""
    return BuildOptions.make("b0", **{"data": "photos"} | given)


def student(**given):
    return options(recipes="noisy-student", unlabelled="more", **given)


def qat(**given):
    return options(quantize="qat", **given)


def names(kind):
    return {field.name for field in dataclasses.fields(kind)}


#: Another value than any recipe has, for every field.
TRAINING = {
    "epochs": 77,
    "batch_size": 48,
    "optimizer": "sgd",
    "learning_rate": 0.123,
    "schedule": "constant",
    "warmup_epochs": 0.7,
    "weight_decay": 0.5,
    "label_smoothing": 0.25,
    "ema_decay": 0.5,
    "min_crop_area": 0.55,
    "flip": False,
    "policy": "auto",
    "policy_layers": 3,
    "policy_magnitude": 11.0,
    "mixup": 0.4,
    "cutmix": 0.6,
    "erasing": 0.2,
    "dropout": 0.45,
    "drop_connect": False,
    "freeze_norm": True,
    "stages": 3,
    "first_size": 0.5,
    "first_magnitude": 2.0,
    "first_dropout": 0.15,
    "seed": 9,
    "loss": "cross-entropy",
    "class_weights": "balanced",
}
STUDENT = {
    "teacher": "scratch",
    "iterations": 3,
    "confidence": 0.7,
    "balance": False,
    "soft": False,
    "labelled_repeats": 2,
    "start": "teacher",
}
QAT = {"scale_rate": 0.01, "label_share": 0.75, "frozen": 0.125}


def test_the_tables_have_every_field():
    assert TRAINING.keys() == names(Recipe)
    assert STUDENT.keys() == names(StudentRecipe) - names(Recipe)
    assert QAT.keys() == names(QatRecipe) - names(Recipe)


@pytest.mark.parametrize("field", TRAINING)
@pytest.mark.parametrize("make", [options, student], ids=["training", "student"])
def test_an_option_arrives_in_the_recipe(make, field):
    recipe = make_recipe(make(**{field: TRAINING[field]}))
    assert getattr(recipe, field) == TRAINING[field]


@pytest.mark.parametrize("field", STUDENT)
def test_an_option_of_the_student_arrives(field):
    assert getattr(make_recipe(student()), field) != STUDENT[field]
    recipe = make_recipe(student(**{f"student_{field}": STUDENT[field]}))
    assert getattr(recipe, field) == STUDENT[field]


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        *((f"qat_{field}", field, value) for field, value in QAT.items()),
        ("qat_epochs", "epochs", 77),
        ("qat_rate", "learning_rate", 0.123),
        *((field, field, TRAINING[field]) for field in SHARED),
    ],
)
def test_an_option_of_training_in_8_bits_arrives(option, field, value):
    assert getattr(make_qat_recipe(qat()), field) != value
    recipe = make_qat_recipe(qat(**{option: value}))
    assert type(recipe) is QatRecipe
    assert getattr(recipe, field) == value


def test_all_options_at_once_make_the_recipe():
    given = TRAINING | {f"student_{field}": value for field, value in STUDENT.items()}
    assert make_recipe(student(**given)) == StudentRecipe(**TRAINING, **STUDENT)


@pytest.mark.parametrize(
    "given", [{"epochs": 2}, {"learning_rate": 0.5}, {"optimizer": "sgd"}, {"stages": 3}]
)
def test_training_in_8_bits_has_its_own_schedule(given):
    assert make_qat_recipe(qat(**given)) == make_qat_recipe(qat())


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "finetune"),
        ({"weights": "own.safetensors"}, "finetune"),
        ({"weights": "none"}, "scratch"),
        ({"recipes": "scratch-v1"}, "scratch-v1"),
        ({"recipes": ("qat", "scratch-v1")}, "scratch-v1"),
        ({"recipes": "qat"}, "finetune"),
    ],
)
def test_the_recipe_is_the_one_asked_for_or_the_one_for_the_weights(given, name):
    assert make_recipe(options(**given)) == named(name, model="b0", seed=0)


def test_the_variants_own_values_are_taken():
    recipe = make_recipe(BuildOptions.make("b7", data="photos", recipes="scratch-v1"))
    assert (recipe.policy, recipe.policy_magnitude) == ("rand", 28)


@pytest.mark.parametrize(("weights", "rate"), [("none", 0.1), ("imagenet", 2e-3)])
def test_another_optimizer_has_the_rate_for_the_weights(weights, rate):
    assert make_recipe(options(weights=weights, optimizer="sgd")).learning_rate == rate


def test_the_built_in_shapes_are_quick_to_learn_and_keep_their_outline():
    shapes = make_recipe(options(data=None))
    assert shapes == named("shapes")
    assert (shapes.epochs, shapes.min_crop_area) == (7, 0.7)
    assert make_qat_recipe(qat(data=None)).min_crop_area == 0.7
    given = make_recipe(options(data=None, epochs=2, min_crop_area=0.2))
    assert (given.epochs, given.min_crop_area) == (2, 0.2)
    assert make_recipe(options(data=None, recipes="scratch")).epochs == named("scratch").epochs


def test_the_recipe_for_8_bits_turns_it_on():
    assert options(recipes="qat").quantize == "qat"
    assert options(recipes="scratch").quantize == "ptq"


def test_the_labels_share_goes_to_the_teacher_where_labels_are_not_looked_at():
    assert make_qat_recipe(qat(distill_only=True)).label_share == 0.0


@pytest.mark.parametrize(
    ("recipes", "make"),
    [
        (("scratch", "finetune"), make_recipe),
        (("noisy-student", "qat", "scratch"), make_recipe),
        (("qat", "OWN"), make_qat_recipe),
    ],
)
def test_two_recipes_for_the_same_training_are_refused(tmp_path, recipes, make):
    own = tmp_path / "own.toml"
    own.write_text('kind = "qat"\nepochs = 1\n')
    given = tuple(str(own) if name == "OWN" else name for name in recipes)
    with pytest.raises(UsageError, match="two recipes for the same training") as caught:
        make(options(recipes=given, unlabelled="more" if "noisy-student" in given else None))
    assert given[-1] in caught.value.message


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"recipes": "noisy-student"}, "need each other"),
        ({"unlabelled": "more"}, "need each other"),
        ({"student_confidence": 0.5}, "need --recipe noisy-student"),
        ({"qat_rate": 0.1}, "need --quantize qat"),
        ({"recompute": True, "torch_compile": True}, "exclude each other"),
    ],
)
def test_options_that_would_do_nothing_are_refused(given, text):
    with pytest.raises(UsageError, match=text):
        options(**given)


def test_a_recipe_that_is_not_there_is_refused_at_once():
    with pytest.raises(UsageError, match="no recipe 'finetun'"):
        options(recipes="finetun")


def test_the_teacher_has_its_own_recipe_with_the_students_seed_and_batch():
    asked = student(student_teacher="scratch", seed=5, batch_size=64, epochs=2, policy="none")
    teacher = make_teacher(asked, make_recipe(asked))
    assert teacher == named("scratch", seed=5, batch_size=64)


def test_the_teacher_of_shapes_keeps_their_outline():
    asked = student(data=None)
    assert make_teacher(asked, make_recipe(asked)).min_crop_area == 0.7


@pytest.mark.parametrize("teacher", ["qat", "noisy-student"])
def test_what_trains_no_network_by_itself_is_no_teacher(teacher):
    asked = student(student_teacher=teacher)
    with pytest.raises(UsageError, match=f"'{teacher}' trains no teacher"):
        make_teacher(asked, make_recipe(asked))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"data": None}, "segment-shapes"),
        ({"weights": "none"}, "segment-scratch"),
        ({"weights": "backbone.safetensors"}, "segment"),
        ({"weights": "none", "recipes": "scratch"}, "scratch"),
    ],
)
def test_a_task_has_its_own_recipes(given, name):
    asked = BuildOptions.make("unet-lite0", **{"data": "photos"} | given)
    assert make_recipe(asked) == named(name)


def test_training_in_8_bits_has_the_loss_of_the_task(tmp_path):
    asked = BuildOptions.make("unet-lite0", quantize="qat")
    recipe = make_qat_recipe(asked)
    assert (recipe.loss, recipe.label_smoothing) == ("cross-entropy+dice", 0.0)
    assert make_qat_recipe(dataclasses.replace(asked, loss="lovasz")).loss == "lovasz"
    assert make_qat_recipe(qat()).loss == ""
    (tmp_path / "own.toml").write_text('kind = "qat"\nepochs = 1\nloss = "dice"\n')
    asked = dataclasses.replace(asked, recipes=(str(tmp_path / "own.toml"),))
    assert make_qat_recipe(asked).loss == "dice"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"head": "none"}, "segmentation has no embedding"),
        ({"mixup": 0.2}, "segmentation has no mixup"),
        ({"recipes": "noisy-student", "unlabelled": "more"}, "segmentation has no noisy-student"),
        ({"loss": "lovas"}, "unknown loss 'lovas'"),
        ({"loss": "dice", "class_weights": "balanced"}, "dice takes no class weights"),
        ({"class_weights": "heavy"}, "unknown class weights 'heavy'"),
    ],
)
def test_what_a_task_lacks_is_refused_before_a_photo_is_read(given, text):
    with pytest.raises(UsageError, match=text) as caught:
        make_recipe(BuildOptions.make("unet-lite0", data="photos", weights="none", **given))
    assert caught.value.cause or caught.value.hint


def test_a_loss_of_another_task_is_refused():
    with pytest.raises(UsageError, match="unknown loss 'dice'"):
        make_recipe(options(loss="dice"))
    assert make_recipe(options(loss="cross-entropy", class_weights="1,2")).class_weights == "1,2"
