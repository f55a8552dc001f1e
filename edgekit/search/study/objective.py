"""What a search looks for: accuracy, and how much each piece of cost takes off it.

Source: MnasNet (Tan et al. 2019, arXiv 1807.11626, equations 2 and 3), and EfficientNet (Tan and Le
2019, arXiv 1905.11946, section 4), whose cost is multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.errors import UsageError
from edgekit.networks.cost import Cost

#: Doubling the cost is worth 5 % of the accuracy (MnasNet, section 3).
SOFT = -0.07
MACS = "macs"
#: How a network is costed, by the name of the option that gives the target.
COSTS: dict[str, Callable[[Cost], int]] = {
    MACS: lambda cost: cost.macs,
    "parameters": lambda cost: cost.parameters,
    "activations": lambda cost: cost.peak_activation,
}
#: The cost that is measured: of an inference, where it runs.
MICROSECONDS = "microseconds"
#: A network of so many times the target is not trained: its accuracy would decide nothing.
FAR = 1.5


@dataclass(frozen=True)
class Objective:
    """ACC x (COST / T) ^ w.

    Attributes:
        cost: a key of `COSTS`, or `MICROSECONDS`.
        target: T, of that.
        below: w where the cost is at most the target.
        above: w where it is more.
    """

    cost: str
    target: int
    below: float = SOFT
    above: float = SOFT

    def __post_init__(self) -> None:
        if self.target < 1:
            raise UsageError(f"a target of {self.target} {self.cost} is none", hint="1 or more")
        if not (-10 <= self.below <= 0 and -10 <= self.above <= 0):
            raise UsageError(
                f"exponents of {self.below:g} and {self.above:g} reward a higher cost",
                hint="from -10 to 0, such as -0.07, or 0 below the target and -1 above it",
            )

    def reward(self, accuracy: float, cost: float) -> float:
        """What is made large, of a fraction and of a cost in the target's unit."""
        exponent = self.below if cost <= self.target else self.above
        return float(accuracy * (cost / self.target) ** exponent)

    def is_far(self, cost: float) -> bool:
        """Whether a network costs so much that it is not worth its training."""
        return cost > FAR * self.target

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {**vars(self)}


def front(points: list[tuple[float, float]]) -> list[int]:
    """The places of those that no other beats: none has as much accuracy for less cost, or more.

    Args:
        points: accuracy and cost of each.

    Returns:
        Places in ``points``, by cost, the lowest first.
    """
    order = sorted(range(len(points)), key=lambda k: (points[k][1], -points[k][0]))
    best, found = -1.0, []
    for place in order:
        if points[place][0] > best:
            found.append(place)
            best = points[place][0]
    return found
