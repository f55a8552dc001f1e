"""Quantization-aware training: the quantized network learns, from labels and from its float self.

Batch normalizations are folded and nothing is dropped out, so that what learns is what will run.
Activation ranges learn too (LSQ) and stand still in the last part, where weights and biases settle
on them. The float network is the teacher (Hinton et al. 2015, arXiv 1503.02531, at temperature 1);
labels may take a share of the loss. Order, crops, averaged weights, checkpoints and resuming are
those of `edgekit.training.trainer.Trainer`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from edgekit.calibration.quantized_network import QuantizedNetwork
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import GraphModule, Network
from edgekit.system.paths import StrPath
from edgekit.tasks.registry import find_task
from edgekit.training.job import TrainingJob
from edgekit.training.recipe import QatRecipe
from edgekit.training.trainer import Trainer


class QuantizedTrainer(Trainer):
    """Trains a quantized Graph; see `Trainer` for checkpoints and progress.

    Args:
        teacher: the float network, prepared as the student is.
        job: with a graph that has `QuantParams` on every tensor and weight, the normalization of
            the prepared network's own input, and a `QatRecipe`. The photos' labels are needed if
            that gives them a share.
        folder: where the checkpoint lies; one found there is resumed.
        **rest: as for `Trainer`.

    Raises:
        UsageError: labels are to be learned, and photos have none.
    """

    recipe: QatRecipe

    def __init__(
        self,
        teacher: Graph,
        job: TrainingJob,
        folder: StrPath,
        **rest: Any,
    ) -> None:
        folder = Path(folder)
        learns = cast(QatRecipe, job.recipe).label_share
        if learns and not find_task(job.preprocessing.task).has_labels(job.train):
            raise UsageError(
                "some photos have no label to learn from",
                hint="`edgekit build --distill-only` learns from the float network instead",
            )
        super().__init__(job, folder, **rest)
        self.teacher = place(Network(teacher), self.device).eval()

    def make_network(self, graph: Graph) -> GraphModule:
        """The quantized network."""
        return QuantizedNetwork(graph)

    def make_optimizer(self) -> Optimizer:
        """Adam with two groups: kernels and biases, then the scales of activations."""
        parameters = dict(self.network.named_parameters())
        scales = [p for name, p in parameters.items() if name.startswith("log_scales.")]
        others = [p for name, p in parameters.items() if not name.startswith("log_scales.")]
        # A short memory of squared gradients: they change as ranges do.
        return Adam([{"params": others}, {"params": scales}], betas=(0.9, 0.99))

    def rates(self, step: int) -> list[float]:
        """Of kernels and biases in integer steps, and of the scales' logarithms."""
        rate = self.recipe.rate(step, self.steps_per_epoch)
        share = rate / self.recipe.learning_rate
        moving = step < (1 - self.recipe.frozen) * self.steps
        return [rate, share * self.recipe.scale_rate if moving else 0.0]

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Full precision on every device: bfloat16 has fewer steps than the integers."""
        found = self.gradient.forward(inputs)
        share, learning = self.recipe.label_share, self.task.learning
        loss: Tensor = found.new_zeros(())
        if share < 1:
            with torch.no_grad():
                wanted = self.teacher(inputs)
            loss = (1 - share) * learning.distillation(found, wanted)
        if share:
            loss = loss + share * learning.loss(found, targets, self.objective)
        return loss
