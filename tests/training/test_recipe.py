"""Recipes: what is filled in, what is refused, and the learning rate over time."""

import pytest

from edgekit.errors import UsageError
from edgekit.training.recipe import Recipe
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
    ],
)
def test_nonsense_is_refused(field, value, text):
    with pytest.raises(UsageError) as caught:
        Recipe(**{"epochs": 1, field: value})
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
