"""What a target says that its compiler will make of a file, before the compiler is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from edgekit.errors import GateError


class Prediction(ABC):
    """What a compiler will make of a file; ``str`` is a line of it.

    Attributes:
        refused: why the compiler will refuse the file, or map nothing of it; empty where it won't.
    """

    refused: tuple[str, ...]

    @property
    @abstractmethod
    def mapped(self) -> int:
        """How many operators run on the accelerator."""

    @property
    @abstractmethod
    def share_of_operators(self) -> float:
        """Mapped operators among all, 0 to 1."""

    @property
    @abstractmethod
    def obstacle(self) -> tuple[str | None, str | None]:
        """What first keeps an operator off the accelerator, and what to do about it."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Returns the prediction as JSON values, for ``edgekit check --json``."""

    @abstractmethod
    def lines(self, every: bool) -> list[str]:
        """Returns it as ``edgekit check`` shows it; every operator, or kinds of them."""

    def demand(self, min_mapped: float | None) -> None:
        """Holds it against a gate.

        Args:
            min_mapped: percent of the operators; None for no gate.

        Raises:
            GateError: fewer are mapped.
        """
        share = 100 * self.share_of_operators
        if min_mapped is not None and share < min_mapped:
            cause, hint = self.obstacle
            raise GateError(
                f"{share:.1f} % of the operators are mapped, not {min_mapped:g} %",
                cause=cause,
                hint=hint,
            )
