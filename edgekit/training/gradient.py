"""The gradient of a step: in micro-batches, scaled where half floats need it, shared by all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgekit.errors import UsageError
from edgekit.networks.nodes import WeightedNode
from edgekit.networks.torch_network import GraphModule, Network
from edgekit.training.engine import Engine, compiled
from edgekit.training.recompute import Recomputing


class Gradient:
    """Computes gradients of a network as the engine says.

    Args:
        network: on the engine's device.
        engine: how.
        batch_size: photos of a step, of all processes together.
        warn: told what does not work.
        frozen: whether batch normalizations keep their statistics.

    Attributes:
        forward: from float NCHW to logits, through all that the engine asks for.
        scaler: of the loss; does nothing but for fp16.
        micro_batch: photos at once.

    Raises:
        UsageError: the engine cannot do what it is asked for.
    """

    def __init__(
        self,
        network: GraphModule,
        engine: Engine,
        batch_size: int,
        warn: Callable[[str], None],
        *,
        frozen: bool = False,
    ) -> None:
        self.frozen = frozen
        self.network, self.engine, self.batch_size, self.warn = network, engine, batch_size, warn
        self.scaler = torch.amp.GradScaler(engine.device.type, enabled=engine.precision == "fp16")
        self.micro_batch = engine.micro_batch or batch_size
        self._check(len(engine.world.part(batch_size)), self.micro_batch)
        module: nn.Module = network
        if engine.recompute and isinstance(network, Network):
            module = Recomputing(network)
        if not engine.world.alone:
            if engine.sync_norm:
                if engine.device.type != "cuda":
                    raise UsageError("--sync-norm needs GPUs", cause="torch has it for CUDA alone")
                module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
            module = DistributedDataParallel(module)
        self.module = module
        self.forward = compiled(module, warn) if engine.compile else module

    def backward(
        self, loss_of: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor
    ) -> Tensor:
        """Adds the gradient of the step's mean loss over the photos of all processes.

        Args:
            loss_of: mean loss of inputs and targets.
            inputs: float NCHW, of this process.
            targets: labels, or what was mixed, likewise.

        Returns:
            Mean loss of this process's photos, a scalar.
        """
        total = torch.zeros((), device=inputs.device)
        # Processes average their gradients, and their photos' numbers may differ by one.
        weight = len(inputs) * self.engine.world.size / self.batch_size
        xs, ys = (torch.split(tensor, self.micro_batch) for tensor in (inputs, targets))
        for number, (x, y) in enumerate(zip(xs, ys, strict=True), 1):
            with nullcontext() if number == len(xs) else self._unshared():
                loss = loss_of(x, y) * (len(x) / len(inputs))
                self.scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def find_micro_batch(
        self,
        loss_of: Callable[[Tensor, Tensor], Tensor],
        blank: Callable[[int, int, torch.device], Tensor],
        resolution: int,
    ) -> None:
        """Takes as many photos at once as the device's memory is enough for.

        Args:
            loss_of: as for `backward`.
            blank: targets of so many photos of a side; see `edgekit.tasks.task.Learning`.
            resolution: the largest side of the run, in pixels.
        """
        world, device = self.engine.world, self.engine.device
        count = len(world.part(self.batch_size))
        before = {name: value.clone() for name, value in self.network.named_buffers()}

        def attempt(photos: int) -> None:
            self._check(count, photos)
            inputs = torch.zeros(photos, 3, resolution, resolution, device=device)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            targets = blank(photos, resolution, device)
            with self._unshared():
                loss_of(inputs, targets).backward()  # type: ignore[no-untyped-call]

        self.network.train()
        for module in self.network.modules():
            if self.frozen and isinstance(module, nn.BatchNorm2d):
                module.eval()
        self.micro_batch = world.least(largest_fitting(count, attempt))
        self.network.zero_grad()
        for name, value in self.network.named_buffers():
            value.copy_(before[name])
        if self.micro_batch < count:
            self.warn(f"{self.micro_batch} of a step's {count} photos fit into memory at once")

    def _check(self, count: int, at_once: int) -> None:
        """Refuses a lone photo where a batch normalization has one value of each channel.

        The mean over the map in DeepLab's decoder is such a place, and so is the last stage of a
        small input.

        Args:
            count: photos of a step of this process.
            at_once: how many of them at most.
        """
        lone = [] if self.frozen else single_values(self.network)
        if lone and 1 in (at_once, count, count % at_once):
            raise UsageError(
                f"'{lone[0]}' cannot be normalized over a single photo",
                cause=f"its map is a single pixel, and the {count} photos of a step are computed "
                f"{min(count, at_once)} at a time",
                hint="a larger --batch-size, a --micro-batch that leaves no photo alone, "
                "or --freeze-norm",
            )

    def _unshared(self) -> AbstractContextManager[object]:
        """Keeps gradients that are not complete yet from travelling."""
        if isinstance(self.module, DistributedDataParallel):
            return cast(AbstractContextManager[object], self.module.no_sync())
        return nullcontext()


def single_values(network: GraphModule) -> list[str]:
    """The layers of a network whose batch normalization sees one pixel of a photo."""
    if not isinstance(network, Network):
        return []
    graph = network.graph
    return [
        node.name
        for node in graph.nodes
        if isinstance(node, WeightedNode)
        and node.batch_norm is not None
        and graph.shapes[node.name][:-1] == (1, 1)
    ]


def largest_fitting(count: int, attempt: Callable[[int], None]) -> int:
    """The largest of count, its half, its quarter … that the memory of a GPU is enough for.

    Args:
        count: photos of a step.
        attempt: computes the gradient of so many photos, and raises torch's
            ``OutOfMemoryError`` where they do not fit.

    Raises:
        torch.OutOfMemoryError: one photo alone does not fit.
    """
    while True:
        try:
            attempt(count)
        except torch.OutOfMemoryError:
            if count == 1:
                raise
        else:
            return count
        # Not before here: the error's frames hold the tensors of the attempt.
        count = -(-count // 2)
        torch.cuda.empty_cache()
