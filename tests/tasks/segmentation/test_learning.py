"""A network learns masks, and what another one answers."""

import numpy as np
import pytest
import torch

from edgekit.errors import UsageError
from edgekit.tasks.learning import Loss
from edgekit.tasks.segmentation.closeness import kl_by_photo
from edgekit.tasks.segmentation.kept import keep
from edgekit.tasks.segmentation.learning import LEARNING
from edgekit.tasks.segmentation.losses import LOSSES

GENERATOR = torch.Generator().manual_seed(0)
ONE, OTHER = torch.randn(2, 2, 3, 4, 5, generator=GENERATOR).unbind()
MASKS = torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8, generator=GENERATOR)


def test_every_loss_takes_a_batch_of_masks_and_blank_ones():
    assert LEARNING.losses == LOSSES
    blank = LEARNING.blank(2, 5, torch.device("cpu"))
    assert blank.shape == (2, 5, 5)
    for kind in LOSSES:
        assert LEARNING.loss(ONE, MASKS, Loss(kind)).isfinite()
        assert LEARNING.loss(torch.zeros(2, 3, 5, 5), blank, Loss(kind)).isfinite()


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (Loss("lovas"), "unknown loss 'lovas'"),
        (Loss("dice", class_weights=(1.0, 2.0, 3.0)), "dice takes no class weights"),
        (Loss("cross-entropy+dice", class_weights=(1.0, 2.0)), "2 class weights for 3 classes"),
    ],
)
def test_a_loss_that_cannot_be_computed_is_refused(loss, text):
    with pytest.raises(UsageError, match=text):
        LEARNING.check(loss, 3)
    LEARNING.check(Loss("cross-entropy+dice", class_weights=(1.0, 2.0, 3.0)), 3)


def test_the_divergence_from_another_network_is_a_mean_over_pixels():
    p, q = (logits.double().log_softmax(1) for logits in (ONE, OTHER))
    by_photo = (p.exp() * (p - q)).sum(1).mean((1, 2))
    found = LEARNING.distillation(OTHER, ONE)
    torch.testing.assert_close(found.double(), by_photo.mean(), rtol=1e-5, atol=0)
    assert LEARNING.divergence(ONE, OTHER) == pytest.approx(by_photo.sum().item(), rel=1e-6)
    assert LEARNING.distillation(ONE, ONE).item() == pytest.approx(0, abs=1e-7)


def test_it_is_that_of_the_task_on_maps_of_equal_squares():
    one, other = (logits.repeat_interleave(4, 2).repeat_interleave(4, 3) for logits in (ONE, OTHER))
    kept = [keep(logits.permute(0, 2, 3, 1).numpy()) for logits in (one, other)]
    wanted = kl_by_photo(*kept).mean()
    assert LEARNING.distillation(other, one).item() == pytest.approx(wanted, rel=5e-3)


def test_probes_have_the_fisher_information_of_the_divergence():
    logits = ONE[:1].repeat(4000, 1, 1, 1)
    p = ONE[:1].softmax(1)
    wanted = p * (1 - p) / p[0, 0].numel()  # the diagonal, pixel by pixel, of a mean over them
    generator = torch.Generator().manual_seed(1)
    directions = LEARNING.direction(logits, generator)
    torch.testing.assert_close(directions.square().mean(0)[None], wanted, rtol=0.15, atol=1e-4)


def test_cutmix_pastes_a_photo_with_its_mask():
    inputs = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    masks = torch.arange(4, dtype=torch.uint8).view(4, 1, 1).expand(4, 32, 32)
    mixed, targets = LEARNING.mix(
        inputs, masks, 4, mixup=0.0, cutmix=1.0, generator=torch.Generator().manual_seed(3)
    )
    assert targets.dtype == torch.uint8
    assert torch.equal(mixed, targets[:, None].expand(-1, 3, -1, -1).float())
    assert set(targets[0].unique().tolist()) == {0, 3}
    assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_what_needs_one_label_an_image_is_refused():
    with pytest.raises(UsageError, match="mixup"):
        LEARNING.mix(ONE, MASKS, 3, mixup=0.2, cutmix=0.0, generator=GENERATOR)
    for call in (
        lambda: LEARNING.targets(MASKS.numpy(), 3),
        lambda: LEARNING.probabilities(ONE.numpy()),
        lambda: LEARNING.confidence(np.zeros((2, 3), np.float32)),
    ):
        with pytest.raises(UsageError, match="noisy students"):
            call()
