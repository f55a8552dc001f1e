"""Optimizers by name, with weight decay on kernels only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from edgekit.training.recipe import Recipe


class RMSpropTF(Optimizer):
    """RMSProp as TensorFlow 1 computes it, which the family's published recipes assume.

    It differs from torch's: epsilon stands inside the square root, the mean square starts at
    one, and the learning rate is applied before the momentum.
    (tensorflow ``ApplyRMSProp``; decay 0.9, momentum 0.9, epsilon 1e-3.)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "decay": decay,
                "momentum": momentum,
                "eps": eps,
                "weight_decay": weight_decay,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Updates every parameter that has a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean_square"] = torch.ones_like(parameter)
            state["velocity"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])  # type: ignore[union-attr]
        mean_square, velocity = state["mean_square"], state["velocity"]
        mean_square.lerp_(gradient.square(), 1 - group["decay"])  # type: ignore[union-attr]
        velocity.mul_(group["momentum"]).addcdiv_(
            gradient, (mean_square + group["eps"]).sqrt_(), value=group["lr"]
        )
        parameter.sub_(velocity)


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Builds the recipe's optimizer; biases and normalizations are not decayed."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return SGD(groups, recipe.learning_rate, momentum=0.9, nesterov=True)
    if recipe.optimizer == "rmsprop":
        return RMSpropTF(groups, recipe.learning_rate)
    return AdamW(groups, recipe.learning_rate, fused=True)
