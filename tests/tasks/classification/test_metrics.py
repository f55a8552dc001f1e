"""The accuracy figures against published examples and a naive ranking."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.tasks.classification.metrics import (
    agreement,
    confusion,
    cross_entropy,
    expected_drop,
    kl_divergence,
    paired_drop,
    softmax,
    top_k,
    wilson_interval,
)


def test_top_k_equals_a_stable_sort() -> None:
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 6, size=(200, 10)).astype(np.uint8)  # six levels: ties everywhere
    labels = rng.integers(0, 10, size=200)
    ranking = np.argsort(-logits.astype(int), axis=1, kind="stable")
    for k in (1, 2, 5, 10, 99):
        expected = (ranking[:, :k] == labels[:, None]).any(axis=1)
        np.testing.assert_array_equal(top_k(logits, labels, k), expected)
    np.testing.assert_array_equal(top_k(logits, labels, 1), logits.argmax(axis=1) == labels)


@pytest.mark.parametrize(
    ("row", "label", "k", "found"),
    [
        ([3, 3, 1], 0, 1, True),
        ([3, 3, 1], 1, 1, False),
        ([3, 3, 1], 1, 2, True),
        ([math.nan, 1.0, 0.0], 0, 3, False),
        ([math.nan, 1.0, 0.0], 1, 1, True),
        ([-math.inf, -math.inf], 1, 1, False),
    ],
)
def test_top_k_ties_and_nan(row: list[float], label: int, k: int, found: bool) -> None:
    assert top_k(np.array([row]), np.array([label]), k).tolist() == [found]


def test_top_k_of_nothing() -> None:
    result = top_k(np.zeros((0, 5)), np.zeros(0, np.int64), 1)
    assert result.shape == (0,)
    assert result.dtype == np.bool_


@pytest.mark.parametrize(
    ("logits", "labels", "k", "message"),
    [
        (np.zeros((2, 3)), np.zeros(3, int), 1, "do not belong together"),
        (np.zeros(3), np.zeros(3, int), 1, "do not belong together"),
        (np.zeros((2, 3)), np.array([0, 3]), 1, "3 classes"),
        (np.zeros((2, 3)), np.array([-1, 0]), 1, "3 classes"),
        (np.zeros((2, 3)), np.array([0, 1]), 0, "top-0"),
    ],
)
def test_top_k_refuses(logits: np.ndarray, labels: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        top_k(logits, labels, k)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_wilson_interval_as_published(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_at_the_ends() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0
    assert wilson_interval(5, 10, z=0.0) == (0.5, 0.5)
    for impossible in [(-1, 5), (6, 5), (0, -1)]:
        with pytest.raises(UsageError, match="impossible"):
            wilson_interval(*impossible)


def test_paired_drop_as_published() -> None:
    # Agresti 2002, table 10.1: 794 approve twice, 150 only before, 86 only after, 570 never;
    # difference 0.04, standard error 0.0095.
    before = np.repeat([True, True, False, False], [794, 150, 86, 570])
    after = np.repeat([True, False, True, False], [794, 150, 86, 570])
    drop, error = paired_drop(before, after)
    assert drop == pytest.approx(64 / 1600)
    assert error == pytest.approx(0.0095, abs=5e-5)
    assert paired_drop(after, before)[0] == -drop
    assert paired_drop(before, before) == (0.0, 0.0)
    assert paired_drop(np.ones(4, bool), np.zeros(4, bool)) == (1.0, 0.0)


def test_agreement() -> None:
    assert agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0])) == 0.75
    nothing = np.zeros(0, int)
    assert math.isnan(agreement(nothing, nothing))
    assert all(map(math.isnan, paired_drop(nothing.astype(bool), nothing.astype(bool))))
    with pytest.raises(UsageError, match="same photos"):
        agreement(nothing, np.zeros(1, int))


def test_kl_divergence_against_its_definition() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]])
    q = np.array([[0.5, 0.3, 0.2], [0.3, 0.3, 0.4]])
    expected = sum(a * math.log(a / b) for a, b in zip(p.flat, q.flat, strict=True)) / 2
    # Softmax forgets what is added to all classes of a photo.
    found = kl_divergence(np.log(p) + 3.0, np.log(q) - 700.0)
    assert found == pytest.approx(expected, rel=1e-12)
    assert kl_divergence(np.log(q), np.log(p)) != pytest.approx(expected, rel=1e-3)


def test_an_expected_drop_counts_how_sure_the_reference_was() -> None:
    p = np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.2, 0.3, 0.5]])
    reference, same = np.log(p) + 7, np.array([[9.0, 1, 0], [3, 1, 0], [0, 1, 2]])
    assert expected_drop(reference, same) == 0
    other = np.array([[1.0, 9, 0], [3, 1, 0], [9, 1, 2]])  # 0.5 for 0.4, and 0.5 for 0.2
    assert expected_drop(reference, other) == pytest.approx((0.1 + 0.3) / 3)
    assert np.isnan(expected_drop(reference * np.nan, same))
    with pytest.raises(UsageError):
        expected_drop(reference, same[:2])


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e30])
def test_kl_divergence_of_equal_answers_is_zero(scale: float) -> None:
    logits = (np.random.default_rng(0).normal(size=(5, 9)) * scale).astype(np.float32)
    assert kl_divergence(logits, logits) == 0.0


def test_kl_divergence_of_large_logits_stays_finite() -> None:
    assert kl_divergence(np.array([[1e4, 0.0]]), np.array([[0.0, 1e4]])) == pytest.approx(1e4)
    assert kl_divergence(np.array([[0.0, 0.0]]), np.array([[0.0, 1e4]])) == pytest.approx(
        5e3 - math.log(2)
    )


def test_kl_divergence_of_nothing_and_of_what_is_no_number() -> None:
    assert math.isnan(kl_divergence(np.zeros((0, 3)), np.zeros((0, 3))))
    assert math.isnan(kl_divergence(np.zeros((1, 2)), np.array([[math.nan, 0.0]])))
    with pytest.raises(UsageError, match="same photos"):
        kl_divergence(np.zeros((1, 2)), np.zeros((2, 2)))


def test_confusion_counts_every_photo_once() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.integers(0, 4, (300, 5)).astype(np.int8), rng.integers(0, 4, 300)
    expected = np.zeros((5, 5), int)
    for scores, label in zip(logits.tolist(), labels.tolist(), strict=True):
        expected[label][scores.index(max(scores))] += 1
    found = confusion(logits, labels)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)
    assert found[4].sum() == 0  # a class without a photo
    assert np.trace(found) == top_k(logits, labels, 1).sum()
    assert confusion(np.zeros((0, 3)), np.zeros(0, int)).tolist() == [[0] * 3] * 3
    with pytest.raises(UsageError, match="2 classes"):
        confusion(np.zeros((1, 2)), np.array([2]))


def test_cross_entropy_is_minus_the_logarithm_of_the_probability() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]])
    np.testing.assert_allclose(softmax(np.log(p) + 5), p)
    np.testing.assert_allclose(
        cross_entropy(np.log(p) - 700, np.array([2, 1])), -np.log([0.1, 0.5])
    )
    assert cross_entropy(np.array([[1e4, 0.0]]), np.array([1])) == pytest.approx(1e4)
    assert np.isnan(cross_entropy(np.array([[math.inf, 0.0]]), np.array([0]))).all()
    assert cross_entropy(np.zeros((0, 3)), np.zeros(0, int)).shape == (0,)
    assert softmax(np.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(UsageError, match="do not belong"):
        cross_entropy(np.zeros((1, 3)), np.zeros(2, int))
