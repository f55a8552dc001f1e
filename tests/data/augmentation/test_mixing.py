"""Mixup and cutmix: targets say exactly what the photos show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from edgekit.data.augmentation.mixing import mix


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int, side: int = 16, channels_last: bool = False) -> tuple[Tensor, Tensor]:
    """Photos that are n constant levels 1 to n; the targets are one-hot, a class a photo."""
    inputs = torch.arange(1.0, n + 1).view(n, 1, 1, 1).repeat(1, 3, side, side)
    if channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return inputs, torch.eye(n)


def own(targets: Tensor) -> Tensor:
    """The weight that each photo keeps in its target."""
    return targets.diagonal()


def test_off_is_untouched_and_draws_nothing() -> None:
    inputs, targets = batch(4)
    generator = seeded()
    mixed = mix(inputs, targets, mixup=0.0, cutmix=0.0, generator=generator)
    assert mixed[0] is inputs
    assert mixed[1] is targets
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.2, 1.0)])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("channels_last", [False, True])
def test_any_batch(mixup: float, cutmix: float, n: int, channels_last: bool) -> None:
    inputs, targets = batch(n, channels_last=channels_last)
    before = inputs.clone(), targets.clone()
    mixed, soft = mix(inputs, targets, mixup=mixup, cutmix=cutmix, generator=seeded())
    assert (mixed.shape, mixed.dtype) == (inputs.shape, inputs.dtype)
    assert (soft.shape, soft.dtype) == (targets.shape, targets.dtype)
    if channels_last:
        assert mixed.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(n))
    assert (soft >= 0).all()
    assert torch.equal(inputs, before[0])
    assert torch.equal(targets, before[1])
    # The mean level of a photo is the same combination of levels that its target is of classes.
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), soft @ torch.arange(1.0, n + 1))
    if n == 1:
        torch.testing.assert_close(mixed, inputs)
        torch.testing.assert_close(soft, targets)


def test_mixup_is_the_convex_combination_with_the_reversed_batch() -> None:
    inputs = torch.randn(6, 3, 5, 4, generator=seeded(1))
    targets = torch.softmax(torch.randn(6, 9, generator=seeded(2)), dim=1)
    mixed, soft = mix(inputs, targets, mixup=0.4, cutmix=0.0, generator=seeded())
    weights = own(mix(*batch(6), mixup=0.4, cutmix=0.0, generator=seeded())[1])
    assert len(set(weights.tolist())) == 6
    assert (weights >= 0.5).all()
    for i, weight in enumerate(weights):
        expected = weight * inputs[i] + (1 - weight) * inputs[5 - i]
        torch.testing.assert_close(mixed[i], expected)
        torch.testing.assert_close(soft[i], weight * targets[i] + (1 - weight) * targets[5 - i])


def test_mixup_weights_are_of_the_beta_distribution() -> None:
    def mean_kept(alpha: float) -> float:
        inputs, targets = batch(2000, side=1)
        kept = own(mix(inputs, targets, mixup=alpha, cutmix=0.0, generator=seeded())[1])
        return float(kept.mean())

    for alpha in (0.2, 1.0):
        drawn = np.random.default_rng(0).beta(alpha, alpha, 100_000)
        assert abs(mean_kept(alpha) - np.maximum(drawn, 1 - drawn).mean()) < 0.02
    assert mean_kept(1000.0) < 0.53


def test_cutmix_pastes_one_rectangle_and_its_area_is_the_weight() -> None:
    n, width, height = 64, 20, 13
    levels = torch.arange(1.0, n + 1).view(n, 1, 1, 1)
    inputs = levels.repeat(1, 3, height, width)
    mixed, soft = mix(inputs, torch.eye(n), mixup=0.0, cutmix=1.0, generator=seeded())
    changed = 0
    for i in range(n):
        pasted = mixed[i, 0] == n - i
        assert ((mixed[i] == i + 1) | pasted).all()
        assert float(soft[i, n - 1 - i]) == pytest.approx(pasted.float().mean().item(), abs=1e-6)
        rows, columns = torch.nonzero(pasted, as_tuple=True)
        if len(rows):
            changed += 1
            area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
            assert int(area) == len(rows)
    assert changed > n / 2


def test_cutmix_pastes_at_the_same_place() -> None:
    inputs = torch.randn(4, 3, 16, 16, generator=seeded(1))
    mixed, _ = mix(inputs, torch.eye(4), mixup=0.0, cutmix=1.0, generator=seeded(3))
    assert ((mixed == inputs) | (mixed == inputs.flip(0))).all()
    assert not torch.equal(mixed, inputs)


def test_both_take_a_half_each() -> None:
    inputs, targets = batch(9)
    mixed, soft = mix(inputs, targets, mixup=1.0, cutmix=1.0, generator=seeded(1))
    # Mixup gives one level a photo; cutmix gives whole levels, those of its own half.
    assert (mixed[:4].amax(dim=(1, 2, 3)) == mixed[:4].amin(dim=(1, 2, 3))).all()
    assert (mixed[:4] != inputs[:4]).all()
    assert torch.equal(mixed[4:], mixed[4:].round())
    assert not soft[:4, 4:].any()
    assert not soft[4:, :4].any()
    assert not torch.equal(mixed[4:], inputs[4:])


def test_the_generator_decides() -> None:
    def mixed(seed: int) -> bytes:
        result, _ = mix(*batch(8), mixup=0.2, cutmix=1.0, generator=seeded(seed))
        return result.numpy().tobytes()

    assert mixed(0) == mixed(0)
    assert mixed(0) != mixed(1)
    generator = seeded()
    first, _ = mix(*batch(8), mixup=0.2, cutmix=1.0, generator=generator)
    second, _ = mix(*batch(8), mixup=0.2, cutmix=1.0, generator=generator)
    assert not torch.equal(first, second)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_does() -> None:
    inputs, targets = batch(7, channels_last=True)
    here = mix(inputs, targets, mixup=0.2, cutmix=1.0, generator=seeded())
    there = mix(inputs.cuda(), targets.cuda(), mixup=0.2, cutmix=1.0, generator=seeded())
    assert there[0].is_cuda
    assert there[1].is_cuda
    torch.testing.assert_close(there[0].cpu(), here[0])
    torch.testing.assert_close(there[1].cpu(), here[1])
