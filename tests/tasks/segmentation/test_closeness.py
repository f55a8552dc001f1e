"""How near maps are to a reference's, from its probabilities on the grid."""

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.tasks.segmentation.closeness import (
    are_comparable,
    cross_entropy,
    expected_drop,
    kl_by_photo,
    log_softmax,
)
from edgekit.tasks.segmentation.kept import keep

RNG = np.random.default_rng(0)
#: Every fourth pixel stands for its square, so that sums on the grid are those of all pixels.
GRID = RNG.normal(0, 2, (3, 8, 8, 4))
NOISE = RNG.normal(0, 1, GRID.shape)


def full(grid):
    return grid.repeat(4, 1).repeat(4, 2).astype(np.float32)


def test_the_divergence_is_the_mean_over_the_grid():
    p, q = log_softmax(GRID), log_softmax(GRID + NOISE)
    wanted = (np.exp(p) * (p - q)).sum(-1).mean((1, 2))
    found = kl_by_photo(keep(full(GRID)), keep(full(GRID + NOISE)))
    np.testing.assert_allclose(found, wanted, rtol=2e-3)
    assert kl_by_photo(keep(full(GRID)), keep(full(GRID))).tolist() == [0, 0, 0]


def test_classes_alone_and_maps_of_another_size_have_no_divergence():
    logits = keep(full(GRID))
    for other in (keep(full(GRID).argmax(3)), keep(GRID.astype(np.float32))):
        assert not are_comparable(logits, other)
        assert np.isnan(kl_by_photo(logits, other)).all()
    with pytest.raises(UsageError):
        kl_by_photo(logits, logits[:2])


def test_what_is_not_finite_has_no_divergence():
    broken = full(GRID)
    broken[1] = np.nan
    found = kl_by_photo(keep(full(GRID)), keep(broken))
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(expected_drop(keep(broken), keep(full(GRID))))


def test_the_expected_drop_is_what_masks_drawn_from_the_reference_show():
    reference, other = keep(full(GRID * 1.5)), keep(full(GRID * 1.5 + 2 * NOISE))
    expected = expected_drop(reference, other)
    drops = [drop_on_drawn_masks(reference, other, seed) for seed in range(100)]
    assert expected == pytest.approx(np.mean(drops), abs=0.01)
    assert expected > 0.05
    assert expected_drop(reference, reference) == 0
    # It needs no more of the other than its classes.
    assert expected_drop(reference, keep(other["classes"])) == expected


def drop_on_drawn_masks(reference, other, seed):
    noise = np.random.default_rng(seed).gumbel(size=reference["logits"].shape)
    truth = (reference["logits"] + noise).argmax(-1)
    before, after = (kept["classes"][:, 2::4, 2::4] for kept in (reference, other))
    return mean_iou(truth, before) - mean_iou(truth, after)


def mean_iou(truth, answer):
    classes = range(4)
    inside = [((truth == c) & (answer == c)).sum() for c in classes]
    union = [((truth == c) | (answer == c)).sum() for c in classes]
    return np.mean(np.divide(inside, union))


def test_the_loss_of_a_photo_is_that_of_its_pixels_with_a_class():
    masks = RNG.integers(0, 4, (3, 8, 8)).astype(np.uint8)
    wanted = -np.take_along_axis(log_softmax(GRID), masks[..., None], -1)[..., 0]
    masks[0, :4] = 255
    found = cross_entropy(keep(full(GRID)), masks.repeat(4, 1).repeat(4, 2))
    means = [wanted[0, 4:].mean(), wanted[1].mean(), wanted[2].mean()]
    np.testing.assert_allclose(found, means, rtol=2e-3)
    nothing = np.full((3, 32, 32), 255, np.uint8)
    assert cross_entropy(keep(full(GRID)), nothing).tolist() == [0, 0, 0]
