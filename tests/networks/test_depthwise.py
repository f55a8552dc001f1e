"""Depthwise convolutions on a CPU give torch's own sums and gradients."""

import pytest
import torch
from torch.nn import functional as F

from edgekit.networks import depthwise
from edgekit.networks.depthwise import convolve

#: Both ends alike; as TensorFlow pads an even side; the other way round.
PADS = {"alike": ((2, 2), (2, 2)), "behind": ((0, 1), (1, 2)), "in front": ((2, 0), (2, 1))}


def by_torch(x, kernel, bias, stride, pads):
    (top, bottom), (left, right) = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), kernel, bias, stride, groups=x.shape[1])


def tensors(kernel, dtype=torch.float64, side=(8, 11), channels=3):
    torch.manual_seed(kernel)
    x = torch.randn(2, channels, *side, dtype=dtype).to(memory_format=torch.channels_last)
    weights = torch.randn(channels, 1, kernel, kernel, dtype=dtype)
    return [t.requires_grad_() for t in (x, weights, torch.randn(channels, dtype=dtype))]


def with_gradients(run, given, *window):
    """The output and the gradients of all that is given."""
    y = run(*given, *window)
    weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape)
    loss = (y.double() * weights).sum()
    return [y.detach(), *torch.autograd.grad(loss, given)]


@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
def test_sums_and_gradients_are_torchs(kernel, stride, pads):
    given = tensors(kernel)
    found, expected = (
        with_gradients(run, given, stride, PADS[pads]) for run in (convolve, by_torch)
    )
    for mine, theirs, of in zip(found, expected, (found[0], *given), strict=True):
        assert mine.stride() == of.stride()
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_half_precision_is_as_near_as_torchs(kernel, stride, pads):
    given = tensors(kernel, torch.float32)
    exact = with_gradients(
        by_torch, [t.detach().double().requires_grad_() for t in given], stride, PADS[pads]
    )
    errors = []
    for run in (convolve, by_torch):
        with torch.autocast("cpu", torch.bfloat16):
            found = with_gradients(run, given, stride, PADS[pads])
        assert found[0].dtype == torch.bfloat16
        assert {gradient.dtype for gradient in found[1:]} == {torch.float32}
        errors.append([float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)])
    for mine, theirs in zip(*errors, strict=True):
        assert mine <= 1.2 * theirs + 1e-3


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("frozen", ["map", "kernel", "both"])
def test_what_is_frozen_has_no_gradient(kernel, stride, frozen):
    x, weights, bias = tensors(kernel)
    x.requires_grad_(frozen == "kernel")
    weights.requires_grad_(frozen == "map")
    y = convolve(x, weights, bias, stride, PADS["behind"])
    learning = [t for t in (x, weights, bias) if t.requires_grad]
    found = torch.autograd.grad(y.sum(), learning)
    expected = torch.autograd.grad(
        by_torch(x, weights, bias, stride, PADS["behind"]).sum(), learning
    )
    torch.testing.assert_close(found, expected)


def test_gradients_without_fast_code_are_found_otherwise(monkeypatch):
    asked = []
    own = depthwise._gradient

    def note(x, kernel, *rest, of_map=True):
        asked.append((kernel.shape[3], x.dtype, of_map))
        return own(x, kernel, *rest, of_map=of_map)

    monkeypatch.setattr(depthwise, "_gradient", note)
    alike = ((2, 2), (2, 2))
    convolve(*tensors(5), 1, alike).sum().backward()
    assert sorted(asked) == [(2, torch.float64, False), (3, torch.float64, False),
                             (5, torch.float64, True)]  # fmt: skip
    asked.clear()
    convolve(*tensors(3, torch.bfloat16), 2, alike).sum().backward()
    assert asked == [(3, torch.float32, True), (3, torch.bfloat16, False)]
    asked.clear()
    convolve(*tensors(3), 2, alike).sum().backward()
    assert asked == []
