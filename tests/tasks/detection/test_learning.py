"""What a detector learns from, and how far two outputs are apart."""

import numpy as np
import pytest
import torch
from PIL import Image

from edgekit.data.boxes.anchors import Anchors
from edgekit.data.boxes.boxes import make_boxes
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.tasks.detection.closeness import kl_by_photo
from edgekit.tasks.detection.kept import find_anchors, keep
from edgekit.tasks.detection.learning import DEVIATION, LEARNING
from edgekit.tasks.detection.losses import compute
from edgekit.tasks.learning import Loss

ANCHORS = Anchors()
SIDE = 32
COUNT = ANCHORS.count(SIDE, SIDE)
RECORD = Preprocessing(SIDE, (127.0,) * 3, (128.0,) * 3, ("a", "b"), fit="stretch", anchors=ANCHORS)


def outputs(seed=0, photos=2, classes=2):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(photos, COUNT, 4 + classes, generator=generator)
    found[..., 4:] -= 3
    return found


def generator():
    return torch.Generator().manual_seed(5)


def test_the_loss_is_that_of_the_square_s_anchors():
    targets = torch.full((2, 100, 5), -1.0)
    targets[:, 0] = torch.tensor([0.1, 0.2, 0.6, 0.7, 1])
    found = LEARNING.loss(outputs(), targets, Loss(anchors=ANCHORS))
    anchors = torch.from_numpy(find_anchors(ANCHORS, COUNT))
    assert found.item() == compute(outputs(), targets, anchors, Loss()).total.item()
    with pytest.raises(UsageError, match="nothing says what the boxes are relative to"):
        LEARNING.loss(outputs(), targets, Loss())


def test_a_blank_step_takes_as_much_as_the_largest():
    blank = LEARNING.blank(2, SIDE, torch.device("cpu"))
    assert blank.shape == (2, 100, 5)
    found = LEARNING.loss(outputs(), blank, Loss(anchors=ANCHORS))
    assert torch.isfinite(found)


def test_the_same_outputs_are_not_apart_and_others_are():
    one, other = outputs(), outputs(1)
    assert LEARNING.divergence(one, one) == pytest.approx(0, abs=1e-12)
    assert LEARNING.divergence(one, other) > 0.1
    mean = LEARNING.distillation(other, one).item()
    assert mean == pytest.approx(LEARNING.divergence(one, other) / 2, rel=1e-4)


def test_it_is_the_weighed_sum_over_the_anchors():
    one, other = (values[:1].double().numpy()[0] for values in (outputs(), outputs(1)))
    p, q = (1 / (1 + np.exp(-values[:, 4:])) for values in (one, other))
    classes = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(1)
    offsets = ((one[:, :4] - other[:, :4]) ** 2).sum(1) / (2 * DEVIATION**2)
    weight = np.maximum(p.max(1), q.max(1))
    wanted = (weight * (classes + offsets)).sum() / (1 + p.max(1).sum())
    assert LEARNING.divergence(outputs()[:1], outputs(1)[:1]) == pytest.approx(wanted, rel=1e-6)


def test_of_offsets_alike_it_is_that_of_closeness_where_there_is_one_class():
    one, other = outputs(classes=1), outputs(1, classes=1)
    other[..., :4] = one[..., :4]
    kept = [keep(values.numpy(), RECORD) for values in (one, other)]
    assert LEARNING.divergence(one, other) == pytest.approx(kl_by_photo(*kept).sum(), rel=5e-3)


def test_background_weighs_little_and_what_only_one_network_finds_all():
    base = outputs()[:1] * 0
    base[..., 4:] = -6
    base[0, 7, 4] = 2
    everywhere, found = base.clone(), base.clone()
    everywhere[..., 4:] += 0.2  # rounding, where nothing is
    everywhere[0, 7, 4] = 2
    found[0, 3, 4] = 2  # nothing becomes something
    assert LEARNING.divergence(base, everywhere) < 0.05 * LEARNING.divergence(base, found)


@pytest.mark.parametrize("part", [slice(4), slice(4, None)], ids=["boxes", "classes"])
def test_directions_find_the_divergence_of_a_small_change(part):
    """In the mean over random signs the squared projection is twice the divergence."""
    base = outputs()[:1].double()
    change = torch.zeros_like(base)
    change[..., part] = 0.01 * torch.randn(base[..., part].shape, generator=generator())
    signs = generator()
    shares = [float((LEARNING.direction(base, signs) * change).sum() ** 2) for _ in range(3000)]
    wanted = LEARNING.divergence(base, base + change)
    assert np.mean(shares) / 2 == pytest.approx(wanted, rel=0.1)


def test_a_photo_without_boxes_is_varied_for_a_teacher():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
    augmentation = LEARNING.augmentation(crop_area=(1.0, 1.0), flip=False)
    for label, boxes in ((-1, 0), (make_boxes([[5, 5, 30, 40]], [1]), 1)):
        chance = np.random.default_rng(0)
        pixels, found = augmentation.apply(lambda shrink: photo, label, RECORD, chance)
        assert pixels.shape == (SIDE, SIDE, 3)
        assert found.shape == (100, 5)
        assert (found[:, 4] >= 0).sum() == boxes


def test_what_a_box_cannot_do_is_refused():
    calls = (
        lambda: LEARNING.mix(
            torch.zeros(1), torch.zeros(1), 2, mixup=0.0, cutmix=0.5, generator=generator()
        ),
        lambda: LEARNING.targets(np.zeros(1), 2),
        lambda: LEARNING.probabilities(np.zeros(1, np.float32)),
        lambda: LEARNING.confidence(np.zeros(1, np.float32)),
    )
    for call in calls:
        with pytest.raises(UsageError):
            call()
    with pytest.raises(UsageError, match="unknown loss 'dice'"):
        LEARNING.check(Loss("dice"))
    with pytest.raises(UsageError, match="2 class weights for 3 classes"):
        LEARNING.check(Loss(class_weights=(1.0, 2.0)), 3)
