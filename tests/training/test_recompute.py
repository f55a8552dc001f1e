"""Activations that are computed again change nothing but the memory."""

from dataclasses import dataclass

import pytest
import torch
from narrow import narrow
from torch import nn
from torch.nn import functional as F

from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.torch_network import Network
from edgekit.training.recompute import Recomputing, blocks

SIDE = 32
MODELS = ("b0", "lite0", "v2-b0", "es")
#: Narrow, and with the skip connections of half of the depth, some of which are dropped.
SMALL = {name: narrow(name, depth=0.5) for name in MODELS}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny layers are slower on several, far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Step:
    """What one step left behind."""

    logits: torch.Tensor
    gradients: dict
    statistics: dict
    kept_bytes: int


def train_step(model, *, recompute, frozen=False):
    network = Network(build_graph(SMALL[model], classes=5, resolution=SIDE, seed=0))
    network.train()
    for module in network.modules():
        if frozen and isinstance(module, nn.BatchNorm2d):
            module.eval()
    forward = Recomputing(network) if recompute else network
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 3, SIDE, SIDE, generator=generator)
    kept = []

    def keep(tensor):
        kept.append(tensor.nbytes)
        return tensor

    torch.manual_seed(2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = forward(x)
    F.cross_entropy(logits, torch.arange(4)).backward()
    return Step(
        logits.detach(),
        {name: parameter.grad for name, parameter in network.named_parameters()},
        {name: buffer.clone() for name, buffer in network.named_buffers()},
        sum(kept),
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("frozen", [False, True], ids=["moving", "frozen"])
def test_logits_gradients_and_statistics_are_the_same(model, frozen):
    plain = train_step(model, recompute=False, frozen=frozen)
    again = train_step(model, recompute=True, frozen=frozen)
    torch.testing.assert_close(again.logits, plain.logits, rtol=0, atol=0)
    torch.testing.assert_close(again.gradients, plain.gradients, rtol=0, atol=0)
    torch.testing.assert_close(again.statistics, plain.statistics, rtol=0, atol=0)
    counts = [v for name, v in again.statistics.items() if name.endswith("num_batches_tracked")]
    assert counts
    assert all(count == (0 if frozen else 1) for count in counts)


def test_less_is_kept_for_the_gradient():
    plain, again = (train_step("b0", recompute=recompute) for recompute in (False, True))
    assert again.kept_bytes < plain.kept_bytes / 4


def test_the_noise_is_in_the_comparison():
    """Two seeds of dropout and drop-connect give other logits, so the same ones mean something."""
    network = Recomputing(Network(build_graph(SMALL["b0"], classes=5, resolution=SIDE, seed=0)))
    x = torch.ones(4, 3, SIDE, SIDE)
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        seen.append(network(x).detach())
    assert not torch.equal(*seen)


def test_without_a_gradient_it_is_the_network():
    network = Network(build_graph(SMALL["lite0"], classes=5, resolution=SIDE, seed=0)).eval()
    x = torch.ones(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert torch.equal(Recomputing(network)(x), network(x))


@pytest.mark.parametrize("model", MODELS)
def test_blocks_hold_all_nodes_in_order(model):
    graph = build_graph(SPECS[model], classes=5, resolution=SIDE, seed=None)
    parts = blocks(graph)
    assert [node for part in parts for node in part] == list(graph.nodes)
    assert all(len(part) >= 4 for part in parts[:-1])
    assert len(parts) > 8


@pytest.mark.parametrize("model", MODELS)
def test_only_the_last_tensor_of_a_block_is_read_after_it(model):
    graph = build_graph(SPECS[model], classes=5, resolution=SIDE, seed=None)
    source = graph.input
    for part in blocks(graph):
        known = {source}
        for node in part:
            assert set(node.inputs) <= known
            known.add(node.name)
        source = part[-1].name
    assert source == graph.output
