"""Which validation photos may decide something; the others are only measured on."""

from __future__ import annotations

import numpy as np


def choosing_half(count: int, seed: int) -> list[int]:
    """The validation photos that may decide something; the others are only measured on."""
    order = np.random.default_rng(seed).permutation(count)
    return sorted(order[: (count + 1) // 2].tolist())
