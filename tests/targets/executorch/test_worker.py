"""Integers in the place of rounded reals, which torch alone can do."""

from __future__ import annotations

import runpy
from dataclasses import replace

import pooled
import pytest
import torch

from edgekit.export import to_torch
from edgekit.networks.graph import QuantParams
from edgekit.targets.executorch.program import WORKER

store_integers = runpy.run_path(str(WORKER))["store_integers"]


def per_tensor(graph):
    """The same network with one scale for each kernel."""
    quant = {
        name: replace(params, axis=None, scale=(max(params.scale),), zero_point=(0,))
        if params.axis is not None
        else params
        for name, params in graph.quant.items()
    }
    return replace(graph, quant={k: v for k, v in quant.items() if not k.endswith("/bias")})


@pytest.fixture(scope="module")
def graph():
    return pooled.quantized(pooled.plain("b0", 32))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", [lambda graph: graph, per_tensor])
@torch.no_grad()
def test_it_computes_the_same_bits(graph, change):
    module = to_torch(change(graph), fake_quantize=True)
    x = torch.from_numpy(pooled.inputs(4, 32)).permute(0, 3, 1, 2).contiguous()
    expected = module(x)
    store_integers(module)
    assert torch.equal(module(x), expected)
    assert "fake_quantize" not in module.code


@pytest.mark.filterwarnings("ignore")
def test_kernels_are_stored_as_integers_alone(graph):
    module = to_torch(graph, fake_quantize=True)
    store_integers(module)
    kernels = {k: v for k, v in module.state_dict().items() if k.endswith("_weight_integers")}
    assert {v.dtype for v in kernels.values()} == {torch.int8}
    assert len(kernels) == sum(name.endswith("/kernel") for name in graph.quant)
    assert not [name for name in module.state_dict() if name.endswith("_weight")]


@pytest.mark.filterwarnings("ignore")
def test_each_reader_has_a_dequantization_of_its_own(graph):
    module = to_torch(graph, fake_quantize=True)
    store_integers(module)
    reals = [n for n in module.graph.nodes if "dequantize_per_tensor" in str(n.target)]
    assert all(len(node.users) == 1 for node in reals)
    assert isinstance(graph.quant[graph.input], QuantParams)
