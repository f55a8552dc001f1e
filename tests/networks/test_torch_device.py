"""Devices: what is there is used, what is not is said."""

import pytest
import torch

from edgekit.errors import UsageError
from edgekit.networks.torch_device import (
    autocast,
    make_deterministic,
    pick_device,
    place,
)


def test_auto_picks_something_that_works():
    device = pick_device("auto")
    assert torch.ones(2, device=device).sum() == 2


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "tpu9000"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(UsageError, match=f"no device '{name}'") as caught:
        pick_device(name)
    assert caught.value.cause


@pytest.mark.parametrize("tiles", [False, True])
def test_a_cpu_trains_in_bf16_where_that_is_faster(monkeypatch, tiles):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    with autocast(torch.device("cpu")):
        assert _product().dtype == (torch.bfloat16 if tiles else torch.float32)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_the_precision_that_is_asked_for(precision, dtype):
    with autocast(torch.device("cpu"), precision):
        assert _product().dtype == getattr(torch, dtype)


def test_a_cpu_does_not_train_in_fp16():
    with pytest.raises(UsageError, match="fp16"):
        autocast(torch.device("cpu"), "fp16")


def test_an_unknown_precision():
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        autocast(torch.device("cpu"), "fp8")


def _product():
    return torch.ones(2, 2) @ torch.ones(2, 2)


def test_placed_networks_are_channels_last():
    layer = place(torch.nn.Conv2d(4, 8, 3), "cpu")
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_seed_repeats():
    make_deterministic(3)
    first = torch.rand(4)
    make_deterministic(3)
    assert torch.equal(torch.rand(4), first)
