"""Recipes: what is filled in, what is refused, and the learning rate over time."""

import pytest

from edgekit.errors import UsageError
from edgekit.tasks.learning import Loss
from edgekit.training.recipe import Difficulty, QatRecipe, Recipe, StudentRecipe
from edgekit.training.recipe_files import named


def test_fine_tuning_is_gentler_and_shorter_than_training_from_scratch():
    scratch = named("scratch")
    tuned = named("finetune")
    assert tuned.epochs < scratch.epochs
    assert tuned.learning_rate < scratch.learning_rate / 4
    assert tuned.freeze_norm
    assert not scratch.freeze_norm


def test_the_default_learning_rate_follows_the_batch_size():
    small, large = (named("scratch", batch_size=n) for n in (32, 64))
    assert large.learning_rate == pytest.approx(2 * small.learning_rate)


def test_what_is_asked_for_is_kept():
    recipe = named("finetune", epochs=2, optimizer="sgd", learning_rate=0.5, seed=7)
    assert (recipe.epochs, recipe.optimizer, recipe.learning_rate, recipe.seed) == (
        2,
        "sgd",
        0.5,
        7,
    )


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("epochs", -1, "epochs"),
        ("batch_size", 1, "batch size"),
        ("optimizer", "adam", "did you mean 'adamw'"),
        ("schedule", "linear", "unknown schedule"),
        ("learning_rate", 0.0, "learning rate"),
        ("learning_rate", float("nan"), "learning rate"),
        ("label_smoothing", 1.0, "label smoothing"),
        ("ema_decay", 1.5, "EMA"),
        ("min_crop_area", 0.0, "crop"),
        ("warmup_epochs", -1.0, "warm-up"),
        ("weight_decay", float("inf"), "weight decay"),
        ("policy", "rnad", "did you mean 'rand'"),
        ("policy_layers", 0, "layers"),
        ("policy_magnitude", 31.0, "magnitudes"),
        ("first_magnitude", -1.0, "magnitudes"),
        ("mixup", -0.1, "mixup"),
        ("cutmix", float("inf"), "cutmix"),
        ("erasing", 1.1, "erasing"),
        ("dropout", 1.0, "dropout"),
        ("first_dropout", -0.1, "dropout"),
        ("stages", 0, "stages"),
        ("first_size", 0.0, "first size"),
        ("first_size", 1.5, "first size"),
    ],
)
def test_nonsense_is_refused(field, value, text):
    with pytest.raises(UsageError) as caught:
        Recipe(**{"epochs": 1, field: value})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "field", "value", "text"),
    [
        (QatRecipe, "scale_rate", -1.0, "scales"),
        (QatRecipe, "label_share", 1.1, "labels' share"),
        (QatRecipe, "frozen", float("nan"), "frozen share"),
        (QatRecipe, "batch_size", 1, "batch size"),
        (StudentRecipe, "start", "teach", "did you mean 'teacher'"),
        (StudentRecipe, "iterations", 0, "iterations"),
        (StudentRecipe, "confidence", 1.0, "confidence"),
        (StudentRecipe, "labelled_repeats", 0, "labelled repeats"),
        (StudentRecipe, "ema_decay", 1.0, "EMA"),
    ],
)
def test_nonsense_is_refused_of_other_kinds_too(kind, field, value, text):
    with pytest.raises(UsageError) as caught:
        kind(**{"epochs": 1, field: value})
    assert text in str(caught.value)


def test_cosine_rises_and_falls_to_nearly_nothing():
    recipe = Recipe(epochs=10, learning_rate=1.0, warmup_epochs=1)
    rates = [recipe.rate(step, 20) for step in range(200)]
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates.index(max(rates)) in (19, 20)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 1e-3


def test_exponential_falls_in_steps_of_two_point_four_epochs():
    recipe = Recipe(epochs=10, learning_rate=1.0, warmup_epochs=0, schedule="exponential")
    assert recipe.rate(0, 10) == 1.0
    assert recipe.rate(23, 10) == 1.0
    assert recipe.rate(24, 10) == pytest.approx(0.97)
    assert recipe.rate(48, 10) == pytest.approx(0.97**2)


def test_poly_is_the_share_of_the_steps_that_is_left_to_the_power_of_0_9():
    recipe = Recipe(epochs=10, learning_rate=1.0, warmup_epochs=1, schedule="poly")
    assert recipe.rate(10, 10) == 1.0
    assert recipe.rate(55, 10) == pytest.approx(0.5**0.9)
    assert recipe.rate(100, 10) == 0


@pytest.mark.parametrize(
    ("text", "weights"), [("none", ()), ("1,2,0.5", (1.0, 2.0, 0.5)), ("balanced", (3.0, 4.0))]
)
def test_the_loss_has_the_weights_of_classes(text, weights):
    recipe = Recipe(epochs=1, class_weights=text, loss="dice", label_smoothing=0.25)
    assert recipe.objective(lambda: (3.0, 4.0)) == Loss("dice", 0.25, weights)


@pytest.mark.parametrize("text", ["", "1,", "0,1", "-1,2", "1;2", "nan,1", "inf", "even"])
def test_weights_that_are_no_numbers_above_0_are_refused(text):
    with pytest.raises(UsageError, match="unknown class weights"):
        Recipe(epochs=1, class_weights=text)


def test_constant_stays_after_the_warm_up():
    recipe = Recipe(epochs=4, learning_rate=1.0, warmup_epochs=1, schedule="constant")
    assert recipe.rate(0, 10) < 0.2
    assert {recipe.rate(step, 10) for step in range(10, 40)} == {1.0}


PROGRESSIVE = {"epochs": 8, "stages": 4, "policy_magnitude": 20.0, "first_magnitude": 5.0}


def difficulties(resolution=300, **values):
    """Of every second epoch of eight: one of each of the four stages."""
    recipe = Recipe(**PROGRESSIVE | values)
    return [recipe.stage(epoch, resolution) for epoch in range(0, 8, 2)]


@pytest.mark.parametrize(
    ("resolution", "first_size", "sides"),
    [
        (300, 128 / 300, [171, 214, 257, 300]),
        (300, 0.427, [171, 214, 257, 300]),
        (384, 128 / 384, [192, 256, 320, 384]),
        (384, 0.333, [192, 256, 320, 384]),
        (192, 0.667, [144, 160, 176, 192]),
        (300, 1.0, [300] * 4),
    ],
)
def test_the_sides_of_the_stages_are_the_published_ones(resolution, first_size, sides):
    found = difficulties(resolution, first_size=first_size)
    assert [difficulty.resolution for difficulty in found] == sides


def test_the_last_epoch_has_the_full_side_whatever_the_first():
    for thousandths in range(1, 1001, 7):
        for stages in (1, 2, 3, 5, 7):
            recipe = Recipe(epochs=9, stages=stages, first_size=thousandths / 1000)
            assert recipe.stage(8, 257).resolution == 257


@pytest.mark.parametrize(
    ("epochs", "sides"), [(1, [100]), (2, [75, 100]), (3, [67, 83, 100]), (4, [62, 75, 88, 100])]
)
def test_a_run_of_fewer_epochs_than_stages_has_a_stage_an_epoch(epochs, sides):
    recipe = Recipe(epochs=epochs, stages=4, first_size=0.5)
    assert [recipe.stage(epoch, 100).resolution for epoch in range(epochs)] == sides


def test_stages_are_of_equal_length():
    recipe = Recipe(epochs=350, stages=4, first_size=0.5)
    sides = [recipe.stage(epoch, 400).resolution for epoch in range(350)]
    assert sides == sorted(sides)
    assert [sides.count(side) for side in (250, 300, 350, 400)] == [88, 87, 88, 87]


def test_magnitudes_rise_evenly_and_mixing_from_nothing():
    found = difficulties(mixup=0.6, cutmix=0.3)
    assert [difficulty.magnitude for difficulty in found] == pytest.approx([5, 10, 15, 20])
    assert [difficulty.mixup for difficulty in found] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert [difficulty.cutmix for difficulty in found] == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("dropout", "first_dropout", "rates"),
    [
        (0.4, 0.1, [0.1, 0.2, 0.3, 0.4]),
        (0.4, None, [0.4] * 4),
        (None, 0.1, [None] * 4),
        (0.0, 0.3, [0.3, 0.2, 0.1, 0.0]),
    ],
)
def test_dropout_stands_still_or_goes_from_its_first_value(dropout, first_dropout, rates):
    found = difficulties(dropout=dropout, first_dropout=first_dropout)
    assert [difficulty.dropout for difficulty in found] == [
        rate if rate is None else pytest.approx(rate, abs=1e-9) for rate in rates
    ]


def test_nothing_grows_in_a_single_stage():
    recipe = Recipe(
        epochs=3,
        first_size=0.5,
        first_magnitude=1,
        mixup=0.2,
        cutmix=0.1,
        dropout=0.3,
        first_dropout=0.1,
    )
    for epoch in range(3):
        assert recipe.stage(epoch, 224) == Difficulty(224, 9.0, 0.2, 0.1, 0.3)
