"""Targets, losses and their gradient: effdet's, and some that are counted by hand."""

import numpy as np
import pytest
import torch

from edgekit.tasks.detection.losses import compute, encode, iou, match
from edgekit.tasks.learning import Loss


def targets_of(oracle):
    """Boxes in pixels and 0-based classes, [2, 4, 5]."""
    classes = oracle.train["gt_class_1based"] - 1
    rows = np.concatenate([oracle.train["gt_yxyx"], classes[..., None]], axis=2)
    rows[classes < 0] = -1
    return torch.from_numpy(rows.astype(np.float32))


def arguments(oracle):
    return (
        torch.from_numpy(oracle.outputs),
        targets_of(oracle),
        torch.from_numpy(oracle.anchors),
    )


def test_every_anchor_is_to_find_what_the_oracle_s_is(oracle):
    _, targets, anchors = arguments(oracle)
    found = match(anchors, targets)
    positive = found >= 0
    assert positive.sum(1).tolist() == oracle.train["num_positives"].tolist()
    rows = targets.gather(1, found.clamp_min(0)[..., None].expand(-1, -1, 5))
    classes = torch.where(positive, rows[..., 4], -1.0)
    assert np.array_equal(classes.numpy(), oracle.train["classes"])
    offsets = encode(rows[..., :4], anchors) * positive[..., None]
    assert np.abs(offsets.numpy() - oracle.train["offsets"]).max() < 1e-6


def test_the_losses_are_the_oracle_s(oracle):
    found = compute(*arguments(oracle), Loss())
    assert found.total.item() == pytest.approx(float(oracle.train["loss"]), rel=1e-6)
    assert found.classes.item() == pytest.approx(float(oracle.train["class_loss"]), rel=1e-6)
    assert found.boxes.item() == pytest.approx(float(oracle.train["box_loss"]), rel=1e-6)
    assert found.positives.tolist() == oracle.train["num_positives"].tolist()


def test_rows_without_a_box_may_be_anywhere(oracle):
    outputs, targets, anchors = arguments(oracle)
    padded = torch.full((2, 100, 5), -1.0)
    padded[:, [90, 3, 50, 20]] = targets  # in another order, after and between empty rows
    whole, found = (compute(outputs, rows, anchors, Loss()).total for rows in (targets, padded))
    assert found.item() == pytest.approx(whole.item(), rel=1e-6)


#: An anchor on a box, one beside it, and one that is far away.
ANCHORS = torch.tensor([[0.0, 0, 4, 4], [0, 1, 4, 5], [10, 10, 12, 12]])


def test_a_box_that_no_anchor_overlaps_by_half_is_its_best_one_s():
    far = torch.tensor([[[11.0, 11, 20, 20, 1], [0, 0, 4, 4, 0]]])
    assert match(ANCHORS, far).tolist() == [[1, 1, 0]]
    # The first of two boxes with the same best anchor gets it, and where none overlaps, none does.
    both = torch.tensor([[[11.0, 11, 20, 20, 1], [11, 11, 18, 18, 0], [50, 50, 60, 60, 0]]])
    assert match(ANCHORS, both).tolist() == [[-1, -1, 0]]


def test_a_photo_without_a_box_has_only_background():
    nothing = torch.full((1, 4, 5), -1.0)
    assert match(ANCHORS, nothing).tolist() == [[-1, -1, -1]]
    logits = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0))
    found = compute(torch.cat([torch.zeros(1, 3, 4), logits], 2), nothing, ANCHORS, Loss())
    p = logits.sigmoid()
    assert found.classes.item() == pytest.approx(
        (-0.75 * p**1.5 * (1 - p).log()).sum().item(), rel=1e-5
    )
    assert found.boxes.item() == 0
    assert match(ANCHORS, nothing[:0]).shape == (0, 3)


def naive(outputs, targets, anchors, smoothing, weights):
    """The focal loss as it is written down (Lin et al. 2017, equation 5)."""
    found, (n, count, columns) = match(anchors, targets), outputs.shape
    wanted = torch.zeros(n, count, columns - 4)
    for photo, place in (found >= 0).nonzero().tolist():
        wanted[photo, place, int(targets[photo, found[photo, place], 4])] = 1
    p = outputs[..., 4:].sigmoid()
    right = wanted * p + (1 - wanted) * (1 - p)
    alpha = wanted * 0.25 + (1 - wanted) * 0.75
    soft = wanted * (1 - smoothing) + smoothing / 2
    entropy = -(soft * p.log() + (1 - soft) * (1 - p).log())
    return (weights * alpha * (1 - right) ** 1.5 * entropy).sum() / (1 + (found >= 0).sum())


def test_smoothing_and_weights_of_classes_are_those_of_the_formula():
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(2, 3, 7, generator=generator)
    targets = torch.tensor([[[0.0, 0, 4, 4, 2]], [[10, 10, 12, 12, 0]]])
    weights = (1.0, 5.0, 0.5)
    found = compute(outputs, targets, ANCHORS, Loss("", 0.1, weights)).classes
    wanted = naive(outputs, targets, ANCHORS, 0.1, torch.tensor(weights))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_gradient_is_that_of_differences():
    generator = torch.Generator().manual_seed(2)
    outputs = torch.randn(1, 3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[[0.1, 0.2, 4, 4.5, 1]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: compute(x, targets, ANCHORS.double(), Loss()).total, [outputs]
    )


def test_the_loss_of_large_logits_is_finite():
    outputs = torch.full((1, 3, 6), 300.0, requires_grad=True)
    for sign in (1, -1):
        found = compute(sign * outputs, torch.tensor([[[0.0, 0, 4, 4, 1]]]), ANCHORS, Loss()).total
        (gradient,) = torch.autograd.grad(found, outputs)
        assert torch.isfinite(found)
        assert torch.isfinite(gradient).all()


def test_many_boxes_are_compared_in_parts():
    generator = torch.Generator().manual_seed(3)
    starts = torch.rand(5, 7, 2, generator=generator) * 10
    classes = torch.zeros(5, 7, 1)
    targets = torch.cat([starts, starts + 3, classes], 2)
    whole = match(ANCHORS, targets)
    assert torch.equal(match(ANCHORS, targets, at_once=1), whole)
    assert (whole >= 0).any()


def test_overlaps_are_those_of_numpy():
    from edgekit.tasks.detection import iou as numpy_iou

    boxes = torch.tensor([[[0.0, 0, 2, 4], [1, 1, 11, 12]]])
    wanted = numpy_iou.iou(ANCHORS.numpy(), boxes[0].numpy())
    assert np.allclose(iou(ANCHORS, boxes)[0].numpy(), wanted)
