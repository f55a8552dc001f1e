"""Training a Graph on photos, from scratch or from trained weights; resumable at each epoch."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from edgekit.atomic import write_bytes
from edgekit.batches import Augmentation, Batches, train_batches
from edgekit.data import PhotoSet
from edgekit.devices import autocast, make_deterministic, place
from edgekit.errors import EdgekitError
from edgekit.graph import Graph
from edgekit.inference import predict, to_input
from edgekit.metrics import top_k
from edgekit.network import GraphModule, Network
from edgekit.preprocessing import Preprocessing
from edgekit.training.optimizers import make_optimizer
from edgekit.training.recipe import Recipe

#: Told the steps done, the steps in all, and a few words on how it goes.
Advance = Callable[[int, int, str], None]

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        epoch: counted from 1.
        train_loss: mean loss over the epoch's steps; cross-entropy with label smoothing, unless
            the trainer has another.
        val_top1: of the averaged weights, a fraction; None for an epoch without validation.
        learning_rate: of the last step.
        seconds: wall time, with validation.
    """

    epoch: int
    train_loss: float
    val_top1: float | None
    learning_rate: float
    seconds: float


class Average:
    """An exponential moving average of all floating weights and statistics.

    The decay starts low and rises with the number of updates, ``min(decay, (1+t)/(10+t))``,
    as ``tf.train.ExponentialMovingAverage(num_updates=t)`` does, so that short runs forget
    their first weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {name: t.detach().clone() for name, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves the average towards the network's present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.values[name].lerp_(tensor, 1 - decay)
            else:
                self.values[name].copy_(tensor)


class Trainer:
    """Runs a recipe over a Graph, an epoch at a time, with a checkpoint after each.

    Args:
        graph: the network to start from.
        train: photos to learn from.
        val: photos to watch, if any.
        preprocessing: how a photo becomes an input.
        recipe: everything else.
        folder: where the checkpoint lies; one found there is resumed.
        device: torch device.
        advance: told about progress.
    """

    def __init__(
        self,
        graph: Graph,
        train: PhotoSet,
        val: PhotoSet | None,
        preprocessing: Preprocessing,
        recipe: Recipe,
        folder: Path,
        *,
        device: torch.device | None = None,
        advance: Advance | None = None,
    ) -> None:
        self.train, self.val = train, val
        self.preprocessing = preprocessing
        self.recipe = recipe
        self.checkpoint = folder / CHECKPOINT
        self.device = device or torch.device("cpu")
        self.advance = advance or (lambda done, total, note: None)
        self.batch_size = min(recipe.batch_size, len(train))
        self.steps_per_epoch = len(train) // self.batch_size
        self.steps = recipe.epochs * self.steps_per_epoch
        self.network = place(self.make_network(graph), self.device)
        self.optimizer = self.make_optimizer()
        self.average = Average(self.network, recipe.ema_decay)
        self.history: list[Epoch] = []

    def make_network(self, graph: Graph) -> GraphModule:
        """The module that learns."""
        network = Network(graph, bn_momentum=bn_momentum(self.steps))
        network.drop_connect = self.recipe.drop_connect
        return network

    def make_optimizer(self) -> Optimizer:
        """The recipe's optimizer for `network`."""
        return make_optimizer(self.network, self.recipe)

    def rates(self, step: int) -> list[float]:
        """The learning rate of each group of parameters at a step, counted from 0."""
        rate = self.recipe.rate(step, self.steps_per_epoch)
        return [rate] * len(self.optimizer.param_groups)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """What a step makes smaller; float NCHW inputs, int64 labels [n]."""
        with autocast(self.device):
            logits = self.network(inputs)
            return F.cross_entropy(
                logits.float(), labels, label_smoothing=self.recipe.label_smoothing
            )

    def run(self) -> tuple[Graph, list[Epoch]]:
        """Trains to the end and returns the averaged network and the history.

        Raises:
            EdgekitError: the loss is no longer a number.
        """
        self._resume()
        for epoch in range(len(self.history), self.recipe.epochs):
            self.history.append(self._epoch(epoch))
            self._save()
        self.network.load_state_dict(self.average.values)
        return self.network.to_graph(), self.history

    def _epoch(self, epoch: int) -> Epoch:
        started = time.perf_counter()
        recipe = self.recipe
        # Everything random in an epoch depends on the seed and its number alone, so that a
        # resumed run goes the same way.
        make_deterministic(recipe.seed * 1_000_003 + epoch)
        self._training_mode()
        total = torch.zeros((), device=self.device)
        steps = 0
        rates = [0.0]
        for pixels, labels in self._batches(epoch):
            step = epoch * self.steps_per_epoch + steps
            rates = self.rates(step)
            inputs = to_input(pixels, self.preprocessing, self.device)
            total += self._step(inputs, torch.from_numpy(labels).to(self.device), rates)
            steps += 1
            note = f"epoch {epoch + 1}/{recipe.epochs}"
            if self.history and self.history[-1].val_top1 is not None:
                note += f"  val {self.history[-1].val_top1:.3f}"
            self.advance(step + 1, self.steps, note)
        loss = float(total) / steps
        if loss != loss:
            raise EdgekitError(
                f"training diverged in epoch {epoch + 1}: the loss is not a number",
                hint=f"a lower --learning-rate than {recipe.learning_rate:g}",
            )
        return Epoch(epoch + 1, loss, self._validate(), rates[0], time.perf_counter() - started)

    def _batches(self, epoch: int) -> Batches:
        recipe = self.recipe
        return train_batches(
            self.train,
            self.preprocessing,
            self.batch_size,
            seed=recipe.seed,
            epoch=epoch,
            augmentation=Augmentation(crop_area=(recipe.min_crop_area, 1.0), flip=recipe.flip),
        )

    def _training_mode(self) -> None:
        self.network.train()
        if self.recipe.freeze_norm:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _step(self, inputs: Tensor, labels: Tensor, rates: list[float]) -> Tensor:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        loss = self.loss(inputs, labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update(self.network)
        return loss.detach()

    def _validate(self) -> float | None:
        if self.val is None:
            return None
        current = {name: t.clone() for name, t in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.values)
        logits = predict(self.network, self.val, self.preprocessing, device=self.device)
        self.network.load_state_dict(current)
        return float(top_k(logits, self.val.labels, 1).mean())

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.values,
            "updates": self.average.updates,
            "history": [asdict(epoch) for epoch in self.history],
        }
        contents = io.BytesIO()  # so that a full disk is an OSError with its reason
        torch.save(state, contents)
        write_bytes(self.checkpoint, contents.getvalue())

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state: Mapping[str, object] = torch.load(
            self.checkpoint, map_location=self.device, weights_only=True
        )
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self.average.values = dict(state["average"])  # type: ignore[call-overload]
        self.average.updates = int(state["updates"])  # type: ignore[call-overload]
        self.history = [Epoch(**epoch) for epoch in state["history"]]  # type: ignore[attr-defined]


def bn_momentum(steps: int) -> float:
    """Share of a new batch in the moving statistics (torch's convention).

    The released code's 0.01 needs thousands of steps to forget the initial statistics; a
    shorter run gets a larger share.
    """
    return min(0.1, max(0.01, 30 / max(steps, 1)))
