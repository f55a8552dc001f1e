"""Recipes as files: the package's are the published ones, and a user's is checked to the letter."""

import dataclasses
import json

import pytest

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.training.recipe import LEARNING_RATES, QatRecipe, Recipe, StudentRecipe
from edgekit.training.recipe_files import NAMES, named, read_recipe

KINDS = {"qat": QatRecipe, "noisy-student": StudentRecipe}
VALID = "epochs = 3\n"


@pytest.fixture
def write(tmp_path):
    """Writes a recipe and returns its path as the command line would give it."""

    def write_text(text):
        path = tmp_path / "own.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write_text


def test_the_package_has_its_recipes():
    published = {"scratch-v1", "v2-progressive"}
    segmentation = {"segment", "segment-scratch", "segment-shapes"}
    detection = {"detect", "detect-scratch", "detect-shapes"}
    general = {"finetune", "scratch", "shapes", "qat", "noisy-student"}
    assert set(NAMES) == general | published | segmentation | detection


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", SPECS)
def test_every_recipe_can_be_used_for_every_model(name, model):
    recipe = named(name, model=model)
    assert type(recipe) is KINDS.get(name, Recipe)
    assert recipe.epochs >= 1


@pytest.mark.parametrize("name", ["scratch-v1", "v2-progressive"])
@pytest.mark.parametrize(("batch_size", "rate"), [(256, 0.016), (4096, 0.256), (32, 0.002)])
def test_published_recipes_scale_their_rate_with_the_batch(name, batch_size, rate):
    assert named(name, batch_size=batch_size).learning_rate == pytest.approx(rate)


@pytest.mark.parametrize("name", ["scratch-v1", "v2-progressive"])
def test_published_recipes_have_the_published_numbers(name):
    recipe = named(name)
    published = {
        "epochs": 350,
        "optimizer": "rmsprop",
        "schedule": "exponential",
        "warmup_epochs": 5,
        "weight_decay": 1e-5,
        "label_smoothing": 0.1,
        "ema_decay": 0.9999,
        "min_crop_area": 0.08,
        "drop_connect": True,
        "freeze_norm": False,
    }
    assert {field: getattr(recipe, field) for field in published} == published
    after = round(5 + 2.4 * 10)
    assert recipe.rate(100 * after, 100) == pytest.approx(recipe.learning_rate * 0.97**12)


@pytest.mark.parametrize(
    ("model", "policy", "magnitude"),
    [("b0", "auto", 9), ("b5", "rand", 17), ("b7", "rand", 28), ("lite0", "auto", 9)],
)
def test_v1_has_the_policy_of_the_variant(model, policy, magnitude):
    recipe = named("scratch-v1", model=model)
    assert (recipe.policy, recipe.policy_magnitude, recipe.stages) == (policy, magnitude, 1)


@pytest.mark.parametrize(
    ("model", "side", "sides", "magnitude", "mixup"),
    [
        ("v2-b0", 192, [144, 160, 176, 192], 10, 0),
        ("v2-s", 300, [171, 214, 257, 300], 10, 0),
        ("v2-m", 384, [192, 256, 320, 384], 15, 0.2),
        ("v2-l", 384, [192, 256, 320, 384], 20, 0.5),
    ],
)
def test_v2_grows_as_published(model, side, sides, magnitude, mixup):
    recipe = named("v2-progressive", model=model)
    stages = [recipe.stage(epoch, side) for epoch in (0, 100, 200, 349)]
    assert [stage.resolution for stage in stages] == sides
    assert (stages[0].magnitude, stages[-1].magnitude) == (5, magnitude)
    assert (stages[0].mixup, stages[-1].mixup) == (0, mixup)
    assert {stage.dropout for stage in stages} == {None}


def test_a_users_file_is_read(write):
    path = write(
        'optimizer = "sgd"\nlearning_rate = 1\nepochs = 3\nflip = false\ndropout = 0\n'
        "first_dropout = 0.5\nseed = 4\n"
    )
    assert named(path) == Recipe(
        epochs=3,
        optimizer="sgd",
        learning_rate=1.0,
        warmup_epochs=0.3,
        drop_connect=False,
        flip=False,
        dropout=0.0,
        first_dropout=0.5,
        seed=4,
    )
    assert type(named(path).learning_rate) is float


@pytest.mark.parametrize(("kind", "recipe"), [("train", Recipe), *KINDS.items()])
def test_a_file_says_what_it_describes(write, kind, recipe):
    path = write(f'kind = "{kind}"\n{VALID}')
    assert read_recipe(path).kind == kind
    assert type(named(path)) is recipe


def test_the_variant_outdoes_the_file_and_what_is_given_both(write):
    path = write("epochs = 1\nseed = 1\nerasing = 0.1\n[variants.b1]\nseed = 2\nerasing = 0.2\n")
    other, own = named(path, model="b0"), named(path, model="b1")
    given = named(path, model="b1", seed=3, erasing=None)
    assert (other.seed, other.erasing) == (1, 0.1)
    assert (own.seed, own.erasing) == (2, 0.2)
    assert (given.seed, given.erasing) == (3, 0.2)


@pytest.mark.parametrize("given", [{"flip": False}, {"mixup": 0.0}, {"epochs": 0}, {"dropout": 0}])
def test_nothing_is_something_that_can_be_given(write, given):
    path = write("epochs = 3\nflip = true\nmixup = 0.5\ndropout = 0.3\n")
    recipe = named(path, **given)
    assert {name: getattr(recipe, name) for name in given} == given


def test_a_given_learning_rate_holds_whatever_the_batch():
    recipe = named("scratch-v1", learning_rate=0.5, batch_size=32)
    assert (recipe.learning_rate, recipe.batch_size) == (0.5, 32)


def test_a_files_rate_for_any_batch_is_not_scaled(write):
    path = write("epochs = 1\nlearning_rate = 0.25\n")
    assert named(path, batch_size=512).learning_rate == 0.25


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("fine_tuning", [False, True])
def test_another_optimizer_brings_its_own_rate(optimizer, fine_tuning):
    recipe = named("scratch-v1", optimizer=optimizer, batch_size=64, fine_tuning=fine_tuning)
    assert recipe.learning_rate == pytest.approx(2 * LEARNING_RATES[optimizer][fine_tuning])


def test_the_same_optimizer_leaves_the_files_rate():
    recipe = named("scratch-v1", optimizer="rmsprop", batch_size=64, fine_tuning=True)
    assert recipe.learning_rate == pytest.approx(0.004)


def test_another_optimizer_with_a_rate_of_its_own_takes_that():
    assert named("scratch", optimizer="sgd", learning_rate=0.3).learning_rate == 0.3


@pytest.mark.parametrize(
    ("epochs", "warmup", "drop_connect"), [(2, 0.2, False), (49, 1.0, False), (50, 1.0, True)]
)
def test_what_nobody_says_follows_from_the_epochs(epochs, warmup, drop_connect):
    recipe = named("scratch", epochs=epochs)
    assert (recipe.warmup_epochs, recipe.drop_connect) == (pytest.approx(warmup), drop_connect)


REFUSED = {
    "an unknown key": ("epoch = 3", "nothing is called 'epoch'", "did you mean 'epochs'"),
    "a key of another kind": ("epochs = 3\nconfidence = 0.5", "'confidence'", ""),
    "text for a number": ('epochs = "3"', "epochs = '3' is no int", "fields: epochs, batch_size"),
    "a fraction of an epoch": ("epochs = 1.5", "epochs = 1.5 is no int", "fields"),
    "a truth for a number": ("epochs = true", "epochs = True is no int", "fields"),
    "a number for a truth": (VALID + "flip = 1", "flip = 1 is no bool", "fields"),
    "a list": (VALID + "dropout = [0.1]", "dropout = [0.1] is no float", "fields"),
    "no batch": (VALID + "rate_batch = 0", "rate_batch must be at least 1", "fields"),
    "an unknown kind": ('kind = "noisy"\n' + VALID, "kind = 'noisy'", "noisy-student"),
    "a kind that is no word": ("kind = []\n" + VALID, "kind = []", "noisy-student"),
    "a slip in another variant": (
        VALID + "[variants.b7]\npolice = 'rand'",
        "nothing is called 'police'",
        "did you mean 'policy'",
    ),
    "a variant's kind": (VALID + '[variants.b0]\nkind = "qat"', "'kind'", ""),
    "variants that are none": (VALID + "variants = 3", "not a table of tables", "[variants.b0]"),
    "a variant that is none": (VALID + "[variants]\nb0 = 3", "not a table", "[variants.b0]"),
}


@pytest.mark.parametrize(("text", "cause", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_slip_is_refused_by_name(write, text, cause, hint):
    path = write(text)
    with pytest.raises(UsageError) as caught:
        read_recipe(path, model="b0")
    assert caught.value.message == f"the recipe {path} cannot be used"
    assert cause in caught.value.cause
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["epochs = ", "epochs = 3\nepochs = 4\n", b"# \xff\nepochs = 3\n"])
def test_what_is_no_toml_is_refused(write, text):
    path = write(text)
    with pytest.raises(UsageError, match="is no TOML") as caught:
        read_recipe(path)
    assert caught.value.cause


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("finetun", "did you mean 'finetune'"),
        ("xyz", "scratch-v1"),
        ("nowhere/own.toml", "check the path"),
    ],
)
def test_a_recipe_that_is_not_there(name, hint):
    with pytest.raises(UsageError) as caught:
        read_recipe(name)
    assert caught.value.message == f"there is no recipe '{name}'"
    assert hint in caught.value.hint


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(UsageError, match="cannot read the recipe") as caught:
        read_recipe(str(tmp_path))
    assert caught.value.cause == "Is a directory"


def test_a_recipe_without_epochs_asks_for_them(write):
    path = write("seed = 1\n")
    with pytest.raises(UsageError, match="names no epochs") as caught:
        named(path)
    assert caught.value.hint == "--epochs"
    assert named(path, epochs=2).epochs == 2


def test_a_value_out_of_range_is_refused(write):
    with pytest.raises(UsageError, match="erasing"):
        named(write("epochs = 1\nerasing = 2\n"))


def test_every_field_of_every_kind_can_stand_in_a_file(write):
    for kind, recipe in (("train", Recipe), *KINDS.items()):
        values = dataclasses.asdict(recipe(epochs=1, dropout=0.5, first_dropout=0.25))
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        path = write("\n".join([f'kind = "{kind}"', *lines]))
        assert dataclasses.asdict(named(path)) == values
