"""Whether a deployed network answers as it did before it was deployed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Of a difference that is no chance, all tests together (Holm's correction).
LEVEL = 0.001
#: Of one that matters: of thousands of photos the least difference is no chance.
LEAST_DISTANCE = 0.1


@dataclass(frozen=True)
class Change:
    """Of one figure of the answers.

    Attributes:
        name: what it is.
        before: its mean over the validation photos.
        now: over the answers of the log.
        distance: between the two distributions, from 0 to 1: of Kolmogorov and Smirnov, of shares
            half the sum of their differences.
        p_value: of as large a one by chance, corrected for how many figures are looked at.
    """

    name: str
    before: float | None
    now: float | None
    distance: float
    p_value: float

    @property
    def has_changed(self) -> bool:
        """Whether it is neither chance nor too little to matter."""
        return self.p_value < LEVEL and self.distance >= LEAST_DISTANCE

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {**vars(self), "has_changed": self.has_changed}


@dataclass(frozen=True)
class Drift:
    """Of a log.

    Attributes:
        n: answers in it.
        n_before: validation photos.
        changes: confidence, energy and class shares.
        shares: by the name of each class, its share of the answers before and now.
    """

    n: int
    n_before: int
    changes: tuple[Change, ...]
    shares: dict[str, tuple[float, float]]

    @property
    def has_changed(self) -> bool:
        """Whether any figure has."""
        return any(change.has_changed for change in self.changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "n": self.n,
            "n_before": self.n_before,
            "has_changed": self.has_changed,
            "changes": [change.to_dict() for change in self.changes],
            "shares": {name: list(both) for name, both in self.shares.items()},
        }
