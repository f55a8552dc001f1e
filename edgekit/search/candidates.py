"""The networks among which one is chosen, the likelier first and the smaller before the larger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgekit.errors import UsageError
from edgekit.networks.cost import Cost, cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.catalog import (
    CHANNEL_RECORD,
    figures,
    int8_size,
    post_training_drops,
)
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.scaling import RESOLUTIONS, scale_spec
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec
from edgekit.networks.graph import Graph

#: Tried before the others: what fits small chips.
FIRST = ("b0", "b1", "lite0", "lite1", "lite2", "lite3", "lite4")
#: Sides that are tried beside a variant's own, where they are smaller.
SMALLER = (192, 160, 128)


@dataclass(frozen=True)
class Candidate:
    """A variant at a resolution and a width.

    Attributes:
        variant: its name.
        width: multiplier of its channels.
        resolution: side of its input in pixels.
        classes: how many logits.
    """

    variant: str
    width: float
    resolution: int
    classes: int

    @cached_property
    def spec(self) -> ModelSpec:
        """The variant, scaled."""
        base = find_spec(self.variant)
        return base if self.width == 1 else scale_spec(base, width=self.width)

    @property
    def is_own(self) -> bool:
        """Whether it is the variant as it was published."""
        return self.width == 1 and self.resolution == find_spec(self.variant).resolution

    @cached_property
    def _graph(self) -> Graph:
        return build_graph(self.spec, classes=self.classes, resolution=self.resolution, seed=None)

    @cached_property
    def cost(self) -> Cost:
        """What it costs anywhere."""
        return cost(self._graph)

    @cached_property
    def file_bytes(self) -> int:
        """How large its int8 file is, about."""
        channels, weights = int8_size(self._graph)
        return weights + CHANNEL_RECORD * channels

    @property
    def top1(self) -> float | None:
        """Its published top-1 on ImageNet in float, in percent; None where nobody published it."""
        if not self.is_own:
            return None
        rows = figures("accuracy", self.variant)
        return next((row["fp32_top1"] for row in rows if row["int8_top1"] is None), None)

    @property
    def drop(self) -> float | None:
        """The least published drop of its variant by post-training int8, in points."""
        return min(post_training_drops(figures("accuracy", self.variant)), default=None)

    @property
    def text(self) -> str:
        """What messages call it."""
        return f"{self.spec.name} at {self.resolution} px"

    def is_alike(self, other: Candidate) -> bool:
        """Whether it is of the same blocks."""
        mine, its = self.spec, other.spec
        return mine.stages == its.stages and mine.activation == its.activation

    def is_larger(self, other: Candidate) -> bool:
        """Whether it needs at least as much of everything."""
        return all(
            getattr(self.cost, name) >= getattr(other.cost, name)
            for name in ("macs", "parameters", "peak_activation")
        )

    def words(self) -> list[str]:
        """Returns the words of ``edgekit build`` that make it."""
        words = ["edgekit", "build", self.variant, "--data", "PHOTOS"]
        words += [] if self.width == 1 else ["--width", f"{self.width:g}"]
        own = self.spec.resolution == self.resolution
        return words + ([] if own else ["--resolution", str(self.resolution)])

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {
            "variant": self.variant,
            "width": self.width,
            "resolution": self.resolution,
            "name": self.spec.name,
            "macs": self.cost.macs,
            "parameters": self.cost.parameters,
            "top1": self.top1,
            "drop": self.drop,
        }


def list_candidates(
    models: Sequence[str] = (),
    resolutions: Sequence[int] = (),
    widths: Sequence[float] = (),
    classes: int = 1000,
) -> list[Candidate]:
    """Lists the combinations, in the order in which they are tried.

    Args:
        models: names of variants; all by default.
        resolutions: sides in pixels; by default each variant's own, and `SMALLER` ones.
        widths: multipliers of the channels; 1 by default.
        classes: how many logits.

    Raises:
        UsageError: there is no such variant, or a number is out of range.
    """
    low, high = RESOLUTIONS
    if wrong := [side for side in resolutions if not low <= side <= high]:
        raise UsageError(f"a resolution must be from {low} to {high} px, not {wrong[0]}")
    found = []
    for name in models or SPECS:
        spec = find_spec(name)
        if spec.decoder is not None:
            raise UsageError(
                f"{spec.name} is not among what is chosen from",
                cause="classifiers are compared, by what is published of them",
                hint=f"its backbone, {spec.backbone.name}",
            )
        own = spec.resolution
        sides = resolutions or (own, *(side for side in SMALLER if side < own))
        found += [
            Candidate(spec.name, float(width), side, classes)
            for width in (widths or (1.0,))
            for side in sides
        ]
    found = list(dict.fromkeys(found))
    return sorted(found, key=lambda one: (one.variant not in FIRST, one.cost.macs))
