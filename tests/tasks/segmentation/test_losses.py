"""Losses have the values and gradients of the oracle, and leave out pixels of no class."""

import math

import pytest
import torch

from edgekit.tasks.learning import Loss
from edgekit.tasks.segmentation.losses import LOSSES, ROWS, compute

#: By the oracle's name; its weights follow from its gradients.
CASES = {
    "ce": Loss("cross-entropy"),
    "ce_smooth0.1": Loss("cross-entropy", smoothing=0.1),
    "ce_weighted": Loss("cross-entropy", class_weights=(1.0, 2.0, 4.0, 1.0)),
    "dice": Loss("dice"),
    "jaccard": Loss("jaccard"),
    "lovasz": Loss("lovasz"),
    "focal_g2": Loss("focal"),
}


@pytest.mark.parametrize("ignored", ["", "_ignore255"])
@pytest.mark.parametrize("name", CASES)
def test_a_loss_and_its_gradient_are_the_oracles(oracle, name, ignored):
    logits = torch.from_numpy(oracle.arrays["logits"]).requires_grad_(True)
    loss = compute(logits, torch.from_numpy(oracle.arrays[f"target{ignored}"]), CASES[name])
    loss.backward()
    assert loss.item() == pytest.approx(oracle.values[name + ignored], rel=2e-6)
    wanted = torch.from_numpy(oracle.arrays[f"grad/{name}{ignored}"])
    torch.testing.assert_close(logits.grad, wanted, rtol=1e-5, atol=1e-9)


def test_the_softmax_form_of_the_focal_loss_is_the_oracles(oracle):
    logits = torch.from_numpy(oracle.arrays["logits"]).requires_grad_(True)
    loss = compute(logits, torch.from_numpy(oracle.arrays["target"]), Loss("softmax-focal"))
    loss.backward()
    assert loss.item() == pytest.approx(oracle.values["softmax_focal_g2"], rel=2e-6)
    wanted = torch.from_numpy(oracle.arrays["grad/softmax_focal_g2"])
    torch.testing.assert_close(logits.grad, wanted, rtol=1e-5, atol=1e-9)


def logits_and_masks():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    return logits, torch.randint(0, 3, (2, 4, 5), generator=generator)


@pytest.mark.parametrize("kind", LOSSES)
def test_pixels_of_no_class_neither_count_nor_get_a_gradient(kind):
    logits, masks = logits_and_masks()
    masks[:, :2] = 255
    whole = logits.clone().requires_grad_(True)
    loss = compute(whole, masks.to(torch.uint8), Loss(kind, smoothing=0.1))
    loss.backward()
    assert not whole.grad[:, :, :2].any()
    assert whole.grad[:, :, 2:].any()
    part = compute(logits[:, :, 2:], masks[:, 2:], Loss(kind, smoothing=0.1))
    torch.testing.assert_close(loss.detach(), part)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_batch_without_a_class_has_no_loss(kind):
    logits, masks = logits_and_masks()
    logits.requires_grad_(True)
    loss = compute(logits, torch.full_like(masks, 255), Loss(kind, class_weights=(1.0, 2.0, 3.0)))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("kind", ROWS)
def test_a_right_and_certain_answer_has_no_loss(kind):
    _, masks = logits_and_masks()
    certain = torch.nn.functional.one_hot(masks, 3).movedim(-1, 1) * 100.0 - 50
    assert compute(certain, masks, Loss(kind)).item() == pytest.approx(0, abs=1e-6)


def test_two_losses_are_added_and_the_first_is_the_default():
    logits, masks = logits_and_masks()
    alone = [compute(logits, masks, Loss(kind)) for kind in ("cross-entropy", "dice")]
    both = compute(logits, masks, Loss("cross-entropy+dice"))
    torch.testing.assert_close(both, alone[0] + alone[1])
    assert compute(logits, masks, Loss()) == alone[0]


def test_dice_and_jaccard_of_even_odds():
    logits, masks = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    # Areas: 2 by probability; 3 and 1 in the mask; inside: 1.5 and 0.5.
    dice = 1 - (2 * 1.5 / 5 + 2 * 0.5 / 3) / 2
    jaccard = 1 - (1.5 / 3.5 + 0.5 / 2.5) / 2
    assert compute(logits, masks, Loss("dice")).item() == pytest.approx(dice)
    assert compute(logits, masks, Loss("jaccard")).item() == pytest.approx(jaccard)
    assert compute(logits, masks, Loss("cross-entropy")).item() == pytest.approx(math.log(2))
