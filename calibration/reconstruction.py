"""Block reconstruction: kernels, biases and ranges of a block learn what its outputs should be.

The nearest integer is the best for a weight alone, not for the sum that it is part of, and a range
is the best for its tensor alone. So they learn, block after block and on what the blocks before
really give, to leave the block's outputs as they are in the float network: which way each weight
rounds (AdaRound, Nagel et al. 2020, arXiv 2004.10568), scales of activations, and biases. An error
counts by what it does to the answers, as in BRECQ (Li et al. 2021, arXiv 2102.05426, section 3.2),
but by channel: the mean over photos and places is known far better than one value's cost. Some of
the values stay unrounded while kernels learn (QDrop, Wei et al. 2022, arXiv 2203.05740). Then
kernels are fixed, all is rounded as it will be, and biases and scales settle on that: until then
they fit a network with half of its rounding errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LinearLR

from edgekit.calibration.blocks import Block, find_blocks
from edgekit.calibration.importance import batch_for
from edgekit.calibration.layerwise import Advance
from edgekit.calibration.learning_block import Coins, LearningBlock, Values, run_block
from edgekit.calibration.simulate import Simulation
from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.networks.edit import up_to_logits
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array
from edgekit.networks.passes import join_swishes
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network
from edgekit.tasks.registry import find_task

#: Of Adam. A short memory of squared gradients: a block learns for a hundred steps.
BETAS = (0.9, 0.99)
#: Photos at once where nothing learns.
BATCH = 16
#: Of each tensor, for a step: itself, its steps, their gradients, and what passes.
COPIES = 6
#: Losses are divided by the first one, but for a block without any.
SMALLEST_LOSS = 1e-12

#: Maps a block's inputs to its outputs.
Run = Callable[[Values], Values]


@dataclass(frozen=True)
class Reconstruction:
    """How a block learns.

    Attributes:
        steps: of Adam, per block, in which kernels learn.
        settling: further steps, as a share of those, with kernels fixed and all values rounded.
        batch: photos per step, at most.
        kernel_rate: for the variables behind the rounding.
        bias_rate: for biases, in steps of their layer's output.
        scale_rate: for the logarithms of activation scales.
        rounded: share of the values that are rounded while kernels learn.
        weight: of the regulariser, beside a loss that starts near 1.
        exponent: of the regulariser, at its start and at its end.
        free: share of the steps before the regulariser acts.
    """

    steps: int = 100
    settling: float = 0.5
    batch: int = 16
    kernel_rate: float = 0.1
    bias_rate: float = 0.03
    scale_rate: float = 1e-3
    rounded: float = 0.5
    weight: float = 1.0
    exponent: tuple[float, float] = (20.0, 2.0)
    free: float = 0.2

    def exponent_at(self, progress: float) -> float:
        """The regulariser's at a share of the steps, `free` or more."""
        first, last = self.exponent
        return first + (last - first) * (progress - self.free) / (1 - self.free)


def reconstruct_blocks(
    graph: Graph,
    quantized: Graph,
    inputs: Array,
    settings: Reconstruction | None = None,
    *,
    task: str = DEFAULT_TASK,
    seed: int = 0,
    device: str = "cpu",
    advance: Advance | None = None,
) -> Graph:
    """Learns kernels, biases and activation scales, block by block.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`).
        quantized: the same network with `QuantParams`, int8 throughout. Its kernels are not where
            learning starts: those of ``graph`` are.
        inputs: network inputs, float32 NHWC, of `layerwise.photos_for` photos; no labels.
        settings: steps and rates.
        task: what the network is for.
        seed: of everything random.
        device: torch device.
        advance: called with the blocks done and the blocks in all.

    Returns:
        The quantized network with kernels on their grid, other biases and other activation scales;
        zero points and kernels' scales are the same. A kernel's integers differ from the nearest
        ones by at most 1. A block that does not gain is as it was.
    """
    chosen = settings or Reconstruction()
    coins = Coins(chosen.rounded, torch.Generator().manual_seed(seed), device)
    photos = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).permute(0, 3, 1, 2)
    photos = photos.to(device)
    exact, learned = up_to_logits(graph), up_to_logits(quantized)
    blocks = find_blocks(exact)
    costs = channel_costs(exact, blocks, photos, task, coins.generator)
    wanted = {exact.input: photos}
    found = {exact.input: Simulation(learned).round(exact.input, photos)}
    last = exact.last_uses()
    for done, block in enumerate(blocks, 1):
        inner = {name: wanted[name] for name in block.inputs}
        target = _run_all(_exactly(exact, block, device), inner)
        rounded = {name: found[name] for name in block.inputs}
        lesson = _Lesson(inner, rounded, target, {name: costs[name] for name in block.outputs})
        learned, outputs = _learn(exact, learned, block, lesson, chosen, coins)
        wanted, found = wanted | target, found | outputs
        own = {node.name for node in block.nodes}
        for name in {name for name in found if last.get(name) in own}:
            del wanted[name], found[name]
        if advance:
            advance(done, len(blocks))
    weights = {**quantized.weights, **learned.weights}
    return replace(quantized, weights=weights, quant={**quantized.quant, **learned.quant})


def channel_costs(
    graph: Graph, blocks: Sequence[Block], photos: Tensor, task: str, generator: torch.Generator
) -> Values:
    """What a squared error in a channel of the blocks' outputs does to the answers.

    That is the mean squared gradient of a random root of the answers' Fisher information, as in
    `edgekit.calibration.importance`.

    Returns:
        By tensor, [1, C, 1, 1] of maps, and [1, …] of other tensors: columns of rows are not alike.
    """
    names = {name for block in blocks for name in block.outputs}
    network = place(Network(join_swishes(graph, names)), photos.device).eval()
    network.requires_grad_(False)
    learning = find_task(task).learning
    totals: Values = {}

    def add(name: str, grad: Tensor) -> None:
        squares = grad.square()
        if squares.dim() == 4:
            squares = squares.mean((2, 3), keepdim=True)
        total = squares.sum(0, keepdim=True) / len(photos)
        totals[name] = totals[name] + total if name in totals else total

    def watch(name: str, tensor: Tensor) -> Tensor:
        if name in names:
            tensor.register_hook(lambda grad: add(name, grad))  # type: ignore[no-untyped-call]
        return tensor

    for batch in torch.split(photos, batch_for(graph)):
        outputs = network.run(batch.clone().requires_grad_(True), watch)
        torch.autograd.backward(outputs, learning.direction(outputs.detach(), generator))
    return totals


@dataclass(frozen=True)
class _Lesson:
    """What a block learns from, on all photos.

    Attributes:
        exact: its inputs in the float network.
        found: its inputs in the quantized network.
        target: its outputs in the float network.
        costs: of a squared error in them (`channel_costs`).
    """

    exact: Values
    found: Values
    target: Values
    costs: Values

    def __len__(self) -> int:
        return len(next(iter(self.target.values())))

    def loss(self, outputs: Values, photos: Tensor) -> Tensor:
        """What the errors in the outputs of some photos cost: the mean over them, a scalar."""
        errors = {name: outputs[name] - wanted[photos] for name, wanted in self.target.items()}
        costs = [(e.square() * self.costs[name]).sum() / len(e) for name, e in errors.items()]
        return torch.stack(costs).sum()

    @torch.no_grad()
    def loss_of_all(self, outputs: Values) -> float:
        """That of all photos, some at a time: the errors would take as much memory as the maps."""
        total = 0.0
        for photos in torch.split(torch.arange(len(self)), BATCH):
            some = {name: outputs[name][photos] for name in self.target}
            total += float(self.loss(some, photos)) * len(photos)
        return total / len(self)


def _learn(
    exact: Graph,
    learned: Graph,
    block: Block,
    lesson: _Lesson,
    settings: Reconstruction,
    coins: Coins,
) -> tuple[Graph, Values]:
    """The network with what a block has learned, and the block's outputs on all photos."""
    device = coins.drawn.device
    before = _run_all(_rounded(learned, block, device), lesson.found)
    lost = lesson.loss_of_all(before)
    module = LearningBlock(learned, block, exact.weights, device)
    batch = min(batch_for(_part(exact, block), settings.batch, COPIES), len(lesson))

    def loss(some: Coins | None) -> Tensor:
        photos = torch.randint(0, len(lesson), (batch,), generator=coins.generator)
        values = {name: tensor[photos] for name, tensor in lesson.found.items()}
        if some:
            values = {
                name: torch.lerp(lesson.exact[name][photos], found, some(found))
                for name, found in values.items()
            }
        return lesson.loss(module(values, some), photos) / max(lost, SMALLEST_LOSS)

    kernels = {"params": module.kernels, "lr": settings.kernel_rate}
    others = [
        {"params": module.biases, "lr": settings.bias_rate},
        {"params": module.scales, "lr": settings.scale_rate},
    ]
    optimizer = Adam([kernels, *others], betas=BETAS)
    for step in range(settings.steps):
        cost, progress = loss(coins), step / settings.steps
        if progress >= settings.free:
            cost = cost + settings.weight * module.indecision(settings.exponent_at(progress))
        _step(optimizer, cost)
    module.harden()
    optimizer = Adam(others, betas=BETAS)
    settling = round(settings.settling * settings.steps)
    slower = LinearLR(optimizer, 1.0, 0.0, max(settling, 1))
    for _ in range(settling):
        _step(optimizer, loss(None))
        slower.step()
    after = _run_all(module, lesson.found)
    if lesson.loss_of_all(after) < lost:
        return module.to_graph(), after
    return learned, before


def _step(optimizer: Optimizer, cost: Tensor) -> None:
    optimizer.zero_grad()
    cost.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@torch.no_grad()
def _run_all(run: Run, inputs: Values) -> Values:
    """A block's outputs on all photos, some at a time."""
    count = len(next(iter(inputs.values())))
    parts = [
        run({name: tensor[photos] for name, tensor in inputs.items()})
        for photos in (slice(start, start + BATCH) for start in range(0, count, BATCH))
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _part(graph: Graph, block: Block) -> Graph:
    """The nodes of a block as a Graph, for what takes one; it may have several inputs."""
    names = {*block.inputs, *(node.name for node in block.nodes)}
    shapes = {name: graph.shapes[name] for name in names}
    weights = {name: graph.weights[name] for node in block.nodes for name in node.weight_names()}
    return replace(graph, nodes=block.nodes, shapes=shapes, weights=weights)


def _exactly(graph: Graph, block: Block, device: torch.device | str) -> Run:
    """What a block computes in the float network."""
    joined = join_swishes(_part(graph, block), block.outputs)
    network = place(Network(joined), device).eval()
    return lambda inputs: run_block(replace(block, nodes=joined.nodes), network, inputs)


def _rounded(graph: Graph, block: Block, device: torch.device | str) -> Run:
    """What a block computes in the quantized network."""
    simulation = place(Simulation(_part(graph, block)), device).eval()
    return lambda inputs: run_block(block, simulation.network, inputs, simulation.round_)
