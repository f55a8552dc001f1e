"""The moving average of a network's weights, which is evaluated and kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of all floating weights and statistics.

    The decay starts low and rises with the number of updates, ``min(decay, (1+t)/(10+t))``,
    as ``tf.train.ExponentialMovingAverage(num_updates=t)`` does, so that short runs forget
    their first weights.

    Args:
        network: averaged; its tensors are changed in place, not replaced.
        decay: the highest; 0 keeps the last weights.

    Attributes:
        values: the average, by the names of the network's state.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        state = network.state_dict()
        self.values = {name: tensor.detach().clone() for name, tensor in state.items()}
        self._floating = [name for name, tensor in state.items() if tensor.is_floating_point()]
        self._others = [name for name in state if name not in set(self._floating)]

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves the average towards the network's present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        state = network.state_dict()
        torch._foreach_lerp_(
            [self.values[name] for name in self._floating],
            [state[name] for name in self._floating],
            1 - decay,
        )
        for name in self._others:
            self.values[name].copy_(state[name])

    def load(self, values: dict[str, Tensor], updates: int) -> None:
        """Takes over a saved average."""
        for name, tensor in values.items():
            self.values[name].copy_(tensor)
        self.updates = updates
