"""RandAugment and AutoAugment choose operations as they say, from one generator."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation import policy
from edgekit.data.augmentation.operations import OPERATIONS
from edgekit.data.augmentation.policy import AUTOAUGMENT_V0, auto_augment, rand_augment

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What is applied, by name and magnitude, instead of applying it."""
    calls: list[tuple[str, float]] = []

    def recording(name: str):  # type: ignore[no-untyped-def]
        def operation(image: Image.Image, magnitude: float, rng: np.random.Generator) -> object:
            calls.append((name, magnitude))
            return image

        return operation

    monkeypatch.setattr(policy, "OPERATIONS", {name: recording(name) for name in OPERATIONS})
    return calls


def test_the_table_of_autoaugment() -> None:
    assert len(AUTOAUGMENT_V0) == 25
    for sub_policy in AUTOAUGMENT_V0:
        assert len(sub_policy) == 2
        for name, probability, magnitude in sub_policy:
            assert name in OPERATIONS
            assert 0 <= probability <= 1
            assert magnitude in range(11)


@pytest.mark.parametrize("layers", [0, 1, 2, 5])
def test_randaugment_applies_that_many(layers: int, applied: list[tuple[str, float]]) -> None:
    rand_augment(PHOTO, layers, 7.5, np.random.default_rng(0))
    assert [magnitude for _, magnitude in applied] == [7.5] * layers


def test_randaugment_chooses_evenly(applied: list[tuple[str, float]]) -> None:
    rand_augment(PHOTO, 3200, 9, np.random.default_rng(0))
    counts = Counter(name for name, _ in applied)
    assert set(counts) == set(OPERATIONS)
    assert 140 < min(counts.values()) <= max(counts.values()) < 260


def test_autoaugment_applies_sub_policies_with_their_probabilities(
    applied: list[tuple[str, float]],
) -> None:
    rng, photos = np.random.default_rng(0), 5000
    for _ in range(photos):
        auto_augment(PHOTO, rng)
    expected: Counter[tuple[str, float]] = Counter()
    for sub_policy in AUTOAUGMENT_V0:
        for name, probability, magnitude in sub_policy:
            expected[name, magnitude] += probability * photos / 25  # type: ignore[assignment]
    counts = Counter(applied)
    assert set(counts) == {key for key, count in expected.items() if count}
    for key, count in counts.items():
        assert abs(count - expected[key]) < 5 * expected[key] ** 0.5


def test_autoaugment_keeps_the_order_of_a_sub_policy(applied: list[tuple[str, float]]) -> None:
    pairs = {
        tuple((name, magnitude) for name, _, magnitude in sub_policy)
        for sub_policy in AUTOAUGMENT_V0
    }
    for seed in range(200):
        applied.clear()
        auto_augment(PHOTO, np.random.default_rng(seed))
        if len(applied) == 2:
            assert tuple(applied) in pairs


def test_the_generator_decides() -> None:
    def rand(seed: int) -> bytes:
        return rand_augment(PHOTO, 2, 9, np.random.default_rng(seed)).tobytes()

    def auto(seed: int) -> bytes:
        return auto_augment(PHOTO, np.random.default_rng(seed)).tobytes()

    for vary in (rand, auto):
        results = [vary(seed) for seed in range(30)]
        assert results == [vary(seed) for seed in range(30)]
        assert len(set(results)) > 15
