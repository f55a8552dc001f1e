"""Training a Graph on photos, from scratch or from trained weights, in one process or several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from edgekit.data.batches import Part, TrainBatch, train_batches
from edgekit.data.cache import CachedPhotos
from edgekit.data.photo_files import UnreadablePhotoError
from edgekit.data.scan import UNREADABLE_LIMIT
from edgekit.errors import DivergedError, UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import FullyConnected
from edgekit.networks.predict import predict, to_input
from edgekit.networks.torch_device import autocast, make_deterministic, place
from edgekit.networks.torch_network import GraphModule, Network
from edgekit.tasks.registry import find_task
from edgekit.training.average import Average
from edgekit.training.checkpoint import Checkpoints, State, read
from edgekit.training.engine import Engine
from edgekit.training.epochs import Epoch, Meter, Position
from edgekit.training.gradient import Gradient
from edgekit.training.job import TrainingJob
from edgekit.training.log import TrainingLog
from edgekit.training.optimizers import make_optimizer
from edgekit.training.recipe import Difficulty
from edgekit.training.signals import Interrupts

#: Told the steps done, the steps in all, and a few words on how it goes.
Advance = Callable[[int, int, str], None]

#: Steps between two looks at whether another process was asked to stop, on a GPU: a look waits
#: until the GPU has caught up.
LOOK_EVERY = 10

#: Photos that cannot be read of which it is said.
SKIPPED_SHOWN = 20


class Trainer:
    """Runs a recipe over a Graph, with checkpoints within and after each epoch.

    Everything random in a step depends on the seed, the step's number and the process alone, and
    the order of the photos on the seed and the epoch: a run that was interrupted goes on to the
    same weights, and one that goes on with another number of processes sees the same batches.

    Args:
        job: everything that decides the weights.
        folder: where checkpoints and logs lie; a checkpoint found there is resumed.
        engine: what it computes on and how.
        advance: told about progress.
        warn: told what else is to be known.

    Raises:
        UsageError: the engine cannot do what it is asked for.
    """

    def __init__(
        self,
        job: TrainingJob,
        folder: Path,
        *,
        engine: Engine | None = None,
        advance: Advance | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.engine = engine = engine or Engine()
        self.world, self.device = engine.world, engine.device
        self.train, self.val = job.train, job.val
        self.preprocessing, self.recipe, self.folder = job.preprocessing, job.recipe, folder
        if engine.cache_bytes:
            # The smallest crop then still has the input's resolution.
            side = math.ceil(job.preprocessing.resolution / math.sqrt(job.recipe.min_crop_area))
            self.train = CachedPhotos(job.train, engine.cache_bytes, side)
        self.task, self.targets = find_task(job.preprocessing.task), job.targets
        classes = len(job.preprocessing.labels)
        objective = job.recipe.objective(lambda: self.task.balanced_weights(job.train, classes))
        self.objective = objective._replace(anchors=job.preprocessing.anchors)
        self.task.learning.check(self.objective, classes)
        self.advance = advance or (lambda done, total, note: None)
        self.warn = warn or (lambda text: None)
        self.checkpoints = Checkpoints(folder, self.warn)
        self.batch_size = min(job.recipe.batch_size, len(job.train))
        if self.world.size > self.batch_size:
            raise UsageError(
                f"a batch of {self.batch_size} is too small for {self.world.size} processes"
            )
        self.steps_per_epoch = len(job.train) // self.batch_size
        self.steps = job.recipe.epochs * self.steps_per_epoch
        self.network = place(self.make_network(job.graph), self.device)
        self.gradient = Gradient(
            self.network, engine, self.batch_size, self.warn, frozen=self.recipe.freeze_norm
        )
        self.optimizer = self.make_optimizer()
        self.average = Average(self.network, job.recipe.ema_decay)
        self.history: list[Epoch] = []
        self._truth: Any = None
        self._skipped: set[str] = set()
        self.meter = Meter()

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

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """What a step makes smaller.

        Args:
            inputs: float NCHW.
            targets: labels, or probabilities, float [n, ...].
        """
        with autocast(self.device, self.engine.precision):
            logits = self.gradient.forward(inputs)
        return self.task.learning.loss(logits.float(), targets, self.objective)

    def run(self) -> tuple[Graph, list[Epoch]]:
        """Trains to the end and returns the averaged network and the history.

        Raises:
            DivergedError: the loss is no longer a number.
            KeyboardInterrupt: it was asked to stop; the run is saved.
        """
        self._resume()
        if self.device.type == "cuda" and self.engine.micro_batch is None:
            blank = self.task.learning.blank
            self.gradient.find_micro_batch(self.loss, blank, self.preprocessing.resolution)
        with Interrupts() as self.interrupts, self._open_log() as self.log:
            for epoch in range(len(self.history), self.recipe.epochs):
                difficulty = self.recipe.stage(epoch, self.preprocessing.resolution)
                self.history.append(self._epoch(epoch, difficulty))
                self._save()
                self.log.epoch(self.history[-1], magnitude=difficulty.magnitude)
                if self.world.any(self.interrupts.requested):  # while it validated
                    raise KeyboardInterrupt
        self._follow_first()
        self.network.load_state_dict(self.average.values)
        return self.network.to_graph(), self.history

    def _epoch(self, epoch: int, difficulty: Difficulty) -> Epoch:
        meter = self.meter
        make_deterministic(self.recipe.seed)
        self._training_mode(difficulty)
        saved = time.monotonic()
        with closing(self._batches(epoch, difficulty)) as batches:
            while meter.at.step < self.steps_per_epoch:
                started = time.perf_counter()
                batch = next(batches)
                meter.at.waited += time.perf_counter() - started
                step = epoch * self.steps_per_epoch + meter.at.step
                rates = self.rates(step)
                loss = self._step(step, batch, rates, difficulty)
                took = time.perf_counter() - started
                meter.add(loss, batch.indices, count=self.batch_size, seconds=took)
                self._check(epoch)
                self.log.step(step, meter.last_loss, rates[0], meter.images_per_s, meter.waiting)
                self.advance(step + 1, self.steps, self._note(epoch))
                if self._asked_to_stop():
                    self._save()
                    raise KeyboardInterrupt
                if 0 < self.engine.save_seconds < time.monotonic() - saved:
                    self._save()
                    saved = time.monotonic()
        meter.settle()
        self._check(epoch)
        return self._finish(epoch, difficulty)

    def _finish(self, epoch: int, difficulty: Difficulty) -> Epoch:
        meter, self.meter = self.meter, Meter()
        started = time.perf_counter()
        return Epoch(  # arguments are computed in order: the time includes the validation
            epoch + 1,
            self.world.total(meter.at.loss)[0] / meter.at.photos,
            self._validate(),
            self.rates((epoch + 1) * self.steps_per_epoch - 1)[0],
            meter.at.seconds + time.perf_counter() - started,
            images_per_s=meter.images_per_s,
            waiting=meter.waiting,
            resolution=difficulty.resolution,
        )

    def _check(self, epoch: int) -> None:
        """Stops at a loss that is not a number, before it is saved."""
        if math.isfinite(self.meter.at.loss):
            return
        names = [self.train.names[index] for index in self.meter.last_photos]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        raise DivergedError(
            f"training diverged in epoch {epoch + 1}, batch {self.meter.last_step + 1}: "
            "the loss is not a number",
            cause=f"the batch had {shown}",
            hint=f"a lower --learning-rate than {self.recipe.learning_rate:g}; "
            "the last good checkpoint is kept",
        )

    def _note(self, epoch: int) -> str:
        note = f"epoch {epoch + 1}/{self.recipe.epochs}"
        if self.history and self.history[-1].val_score is not None:
            note += f"  val {self.history[-1].val_score:.3f}"
        return f"{note}  {self.meter.images_per_s:.0f} img/s  {self.meter.waiting:.0%} waiting"

    def _asked_to_stop(self) -> bool:
        if self.device.type == "cuda" and self.meter.at.step % LOOK_EVERY:
            return False
        return self.world.any(self.interrupts.requested)

    def _batches(self, epoch: int, difficulty: Difficulty) -> Generator[TrainBatch, None, None]:
        recipe = self.recipe
        return train_batches(
            self.train,
            replace(self.preprocessing, resolution=difficulty.resolution),
            self.batch_size,
            Part(
                seed=recipe.seed,
                epoch=epoch,
                share=(self.world.rank, self.world.size),
                start=self.meter.at.step,
            ),
            augmentation=self.task.learning.augmentation(
                crop_area=(recipe.min_crop_area, 1.0),
                flip=recipe.flip,
                policy=recipe.policy,
                layers=recipe.policy_layers,
                magnitude=difficulty.magnitude,
                erasing=recipe.erasing,
            ),
            workers=self.engine.workers,
            skipped=self._skip,
        )

    def _skip(self, error: UnreadablePhotoError) -> None:
        """Says once of each photo that nothing had checked that training goes without it."""
        if error.message in self._skipped:
            return
        self._skipped.add(error.message)
        if len(self._skipped) > UNREADABLE_LIMIT * len(self.train):
            raise error
        if len(self._skipped) <= SKIPPED_SHOWN:
            self.warn(f"{error.message} ({error.cause}): training goes on without it")

    def _training_mode(self, difficulty: Difficulty) -> None:
        self.network.train()
        for module in self.network.modules():
            if self.recipe.freeze_norm and isinstance(module, nn.BatchNorm2d):
                module.eval()
            node = getattr(module, "node", None)
            if difficulty.dropout is not None and isinstance(node, FullyConnected):
                module.node = replace(node, dropout=difficulty.dropout)  # type: ignore[assignment]

    def _step(
        self, step: int, batch: TrainBatch, rates: list[float], difficulty: Difficulty
    ) -> Tensor:
        """Changes the weights once; returns the mean loss of this process's photos."""
        number = self.world.rank + self.world.size * step
        torch.manual_seed(self.recipe.seed * 1_000_003 + number)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        inputs = to_input(batch.pixels, self.preprocessing, self.device)
        targets = self._targets(batch)
        if difficulty.mixup or difficulty.cutmix:
            generator = torch.Generator().manual_seed(torch.initial_seed())
            inputs, targets = self.task.learning.mix(
                inputs,
                targets,
                len(self.preprocessing.labels),
                mixup=difficulty.mixup,
                cutmix=difficulty.cutmix,
                generator=generator,
            )
        self.optimizer.zero_grad()
        loss = self.gradient.backward(self.loss, inputs, targets)
        self.gradient.scaler.step(self.optimizer)
        self.gradient.scaler.update()
        self.average.update(self.network)
        return loss

    def _targets(self, batch: TrainBatch) -> Tensor:
        chosen = batch.labels if self.targets is None else self.targets[batch.indices]
        return torch.from_numpy(np.ascontiguousarray(chosen)).to(self.device)

    def _validate(self) -> float | None:
        """The task's metric of the averaged weights; each photo is seen by one process."""
        if self.val is None:
            return None
        self._follow_first()
        current = {name: t.clone() for name, t in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.values)
        part = list(self.world.part(len(self.val)))
        mine = self.val.subset(part or [0])  # a process without photos has a tally of none
        found = predict(
            self.network, mine, self.preprocessing, device=self.device, keep=self.task.keep
        )
        if self._truth is None:  # masks take a while to read, and stay what they are
            self._truth = self.task.labels(mine, self.preprocessing)
        tally = self.task.tally(found[: len(part)], self._truth[: len(part)])
        self.network.load_state_dict(current)
        return self.task.score(self.world.total(*tally))

    def _follow_first(self) -> None:
        """Statistics are each process's own; those of the first one count."""
        names = [name for name, _ in self.network.named_buffers()]
        self.world.follow_first(self.average.values[name] for name in names)

    def _open_log(self) -> TrainingLog | _NoLog:
        if not self.world.leads:
            return _NoLog()
        start = len(self.history) * self.steps_per_epoch + self.meter.at.step
        return TrainingLog(
            self.folder, asdict(self.recipe), start, self.history, self.warn, self.task.metric
        )

    def _save(self) -> None:
        self.meter.gather(self.world)
        if not self.world.leads:
            return
        self.checkpoints.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.gradient.scaler.state_dict(),
                "average": self.average.values,
                "updates": self.average.updates,
                "history": [epoch.to_record(self.task.metric) for epoch in self.history],
                "position": asdict(self.meter.at),
            }
        )

    def _resume(self) -> None:
        """Goes on from the first process's checkpoint, if there is one."""
        contents = self.checkpoints.contents() if self.world.leads else b""
        contents = self.world.spread(contents)
        if not contents:
            return
        state: State = read(contents, self.device)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.gradient.scaler.load_state_dict(state["scaler"])
        self.average.load(state["average"], state["updates"])
        metric = self.task.metric
        self.history = [Epoch.from_record(epoch, metric) for epoch in state["history"]]
        position = Position(**state["position"])
        # The first process has the loss of all.
        self.meter = Meter(position if self.world.leads else replace(position, loss=0.0))


class _NoLog:
    """What the other processes write: nothing."""

    def __enter__(self) -> _NoLog:
        return self

    def __exit__(self, *_: object) -> None:
        """Has nothing to close."""

    def step(self, *_: object) -> None:
        """Tells nothing."""

    def epoch(self, *_: object, magnitude: float) -> None:
        """Tells nothing."""


def bn_momentum(steps: int) -> float:
    """Share of a new batch in the moving statistics (torch's convention).

    The released code's 0.01 needs thousands of steps to forget the initial statistics; a
    shorter run gets a larger share.
    """
    return min(0.1, max(0.01, 30 / max(steps, 1)))
