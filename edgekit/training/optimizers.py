"""Optimizers by name, with weight decay on kernels only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

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
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._update(parameters, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Updates all at once: on a GPU a few kernels do what took several per parameter."""
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["mean_square"] = torch.ones_like(parameter)
                state["velocity"] = torch.zeros_like(parameter)
        mean_squares = [self.state[p]["mean_square"] for p in parameters]
        velocities = [self.state[p]["velocity"] for p in parameters]
        gradients = [cast(Tensor, p.grad) for p in parameters]
        if group["weight_decay"]:
            decay = group["weight_decay"]
            gradients = list(torch._foreach_add(gradients, parameters, alpha=decay))
        squares = torch._foreach_mul(gradients, gradients)
        torch._foreach_lerp_(mean_squares, squares, 1 - group["decay"])
        roots = torch._foreach_add(mean_squares, group["eps"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_addcdiv_(velocities, gradients, roots, value=group["lr"])
        torch._foreach_sub_(parameters, velocities)


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Builds the recipe's optimizer; biases and normalizations are not decayed."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return SGD(groups, recipe.learning_rate, momentum=0.9, nesterov=True, fused=True)
    if recipe.optimizer == "rmsprop":
        return RMSpropTF(groups, recipe.learning_rate)
    return AdamW(groups, recipe.learning_rate, fused=True)
