"""The paper's grid of compound scaling as values to choose from: each scales a base to a cost.

Source: EfficientNet (Tan and Le 2019, arXiv 1905.11946), section 3.3, step 1, where every way of
scaling is trained, and the most accurate one becomes the family's.
"""

from __future__ import annotations

import re
from functools import cache

from edgekit.networks.efficientnet import scaling
from edgekit.networks.efficientnet.spec import ModelSpec

#: Of the grid: about a dozen networks. The paper's own coefficients are always among them.
STEP = 0.1
#: A network that whole blocks and pixels keep further from the cost is not compared at it; the
#: paper's own is, so that there is one.
NEAR = 0.2
#: How a way of scaling is written, so that reports say it and `scaled_by` reads it.
_WORDS = ("alpha", "beta", "gamma", "phi")
_TEXT = ", ".join(rf"{word} (-?[\d.]+)" for word in _WORDS)


@cache
def list_scalings(base: ModelSpec, macs: int, classes: int) -> tuple[str, ...]:
    """The ways of scaling a variant to a cost, the paper's own first.

    Args:
        base: the variant.
        macs: multiply-accumulates that the scaled networks have, about.
        classes: how many logits they have.

    Raises:
        UsageError: the variant cannot be scaled to so many.
    """
    found = scaling.search(base, macs, step=STEP, classes=classes)
    near = [one for one in found if one.paper or abs(one.macs / macs - 1) <= NEAR]
    ordered = sorted(near or found, key=lambda one: (not one.paper, one.alpha, one.beta, one.gamma))
    return tuple(
        ", ".join(f"{word} {getattr(one, word):.10g}" for word in _WORDS) for one in ordered
    )


def scaled_by(base: ModelSpec, text: str) -> ModelSpec:
    """A variant scaled as one of `list_scalings` says.

    Raises:
        ValueError: it is none of them.
    """
    match = re.fullmatch(_TEXT, text)
    if match is None:
        raise ValueError(f"'{text}' says no scaling")
    alpha, beta, gamma, phi = map(float, match.groups())
    return scaling.scale_spec(base, phi=phi, alpha=alpha, beta=beta, gamma=gamma)
