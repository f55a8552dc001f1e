"""RandAugment and AutoAugment choose operations as they say, from one generator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation.operations import COLOR_OPERATIONS, OPERATIONS, Operation
from edgekit.data.augmentation.policy import AUTOAUGMENT_V0, auto_augment, rand_augment

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))


class Recorded:
    """Operations that are recorded, by name and magnitude, instead of applied."""

    def __init__(self, names: Iterable[str] = OPERATIONS) -> None:
        self.calls: list[tuple[str, float]] = []
        self.operations = {name: self._recording(name) for name in names}

    def _recording(self, name: str) -> Operation:
        def operation(
            image: Image.Image, magnitude: float, rng: np.random.Generator
        ) -> Image.Image:
            self.calls.append((name, magnitude))
            return image

        return operation


def test_the_table_of_autoaugment() -> None:
    assert len(AUTOAUGMENT_V0) == 25
    for sub_policy in AUTOAUGMENT_V0:
        assert len(sub_policy) == 2
        for name, probability, magnitude in sub_policy:
            assert name in OPERATIONS
            assert 0 <= probability <= 1
            assert magnitude in range(11)


@pytest.mark.parametrize("layers", [0, 1, 2, 5])
def test_randaugment_applies_that_many(layers: int) -> None:
    recorded = Recorded()
    rand_augment(PHOTO, layers, 7.5, np.random.default_rng(0), recorded.operations)
    assert [magnitude for _, magnitude in recorded.calls] == [7.5] * layers


@pytest.mark.parametrize("names", [OPERATIONS, COLOR_OPERATIONS])
def test_randaugment_chooses_evenly(names: Iterable[str]) -> None:
    recorded = Recorded(names)
    rand_augment(
        PHOTO, 200 * len(recorded.operations), 9, np.random.default_rng(0), recorded.operations
    )
    counts = Counter(name for name, _ in recorded.calls)
    assert set(counts) == set(names)
    assert 140 < min(counts.values()) <= max(counts.values()) < 260


@pytest.mark.parametrize("names", [OPERATIONS, COLOR_OPERATIONS])
def test_autoaugment_applies_sub_policies_with_their_probabilities(names: Iterable[str]) -> None:
    recorded = Recorded(names)
    rng, photos = np.random.default_rng(0), 5000
    for _ in range(photos):
        auto_augment(PHOTO, rng, recorded.operations)
    expected: Counter[tuple[str, float]] = Counter()
    for sub_policy in AUTOAUGMENT_V0:
        for name, probability, magnitude in sub_policy:
            if name not in recorded.operations:
                continue
            expected[name, magnitude] += probability * photos / 25  # type: ignore[assignment]
    counts = Counter(recorded.calls)
    assert set(counts) == {key for key, count in expected.items() if count}
    for key, count in counts.items():
        assert abs(count - expected[key]) < 5 * expected[key] ** 0.5


def test_autoaugment_keeps_the_order_of_a_sub_policy() -> None:
    pairs = {
        tuple((name, magnitude) for name, _, magnitude in sub_policy)
        for sub_policy in AUTOAUGMENT_V0
    }
    for seed in range(200):
        recorded = Recorded()
        auto_augment(PHOTO, np.random.default_rng(seed), recorded.operations)
        if len(recorded.calls) == 2:
            assert tuple(recorded.calls) in pairs


def test_the_generator_decides() -> None:
    def rand(seed: int) -> bytes:
        return rand_augment(PHOTO, 2, 9, np.random.default_rng(seed)).tobytes()

    def auto(seed: int) -> bytes:
        return auto_augment(PHOTO, np.random.default_rng(seed)).tobytes()

    for vary in (rand, auto):
        results = [vary(seed) for seed in range(30)]
        assert results == [vary(seed) for seed in range(30)]
        assert len(set(results)) > 15
