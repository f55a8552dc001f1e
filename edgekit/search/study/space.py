"""Spaces of networks as data: what may be chosen, and the network that choices make.

The stages are MnasNet's (Tan et al. 2019, arXiv 1807.11626, section 4.1): all blocks of a stage are
alike, and each stage has its own kernel, expansion, squeeze-excite, shortcut, depth and width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import log, prod
from typing import Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.scaling import MULTIPLIERS, scale_spec
from edgekit.networks.efficientnet.spec import ModelSpec, round_filters
from edgekit.networks.efficientnet.stages import StageSpec
from edgekit.search.study.choices import Choice, Picks, Value, cover_all, cover_stages
from edgekit.search.study.compound import list_scalings, scaled_by
from edgekit.search.study.objective import MACS, Objective

KERNELS, EXPANSIONS, RATIOS = (3, 5), (3, 4, 6), (0.0, 0.25)
#: Channels of a stage over the base's, and blocks more than it has.
WIDTHS, MORE_BLOCKS = (0.75, 1.0, 1.25), (-1, 0, 1)
#: Kinds of blocks without which a ResNet is none: their shortcuts are no choice.
ALWAYS_ADD = ("basic", "bottleneck")
#: Stages in which a full convolution may do the work of two: later ones have too many channels
#: for it (Tan and Le 2021, section 3.2).
FUSED_STAGES = 3
#: Steps of the search for a base: a factor of 100 comes down to 1 %.
HALVINGS = 9
#: Of compound scaling, over the base: channels, blocks and the side of the input.
SCALES = {
    "width": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4),
    "depth": (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0),
    "resolution": (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25),
}


@dataclass(frozen=True)
class Space:
    """Networks around one of the family.

    Attributes:
        kind: a key of `SPACES`.
        base: what the choices change.
        choices: independent of each other.
    """

    kind: str
    base: ModelSpec
    choices: tuple[Choice, ...]

    @property
    def is_listed(self) -> bool:
        """Whether its networks are a list, of which all are tried one after the other."""
        return len(self.choices) == 1

    @property
    def size(self) -> int:
        """How many networks it has, those that are equal counted apart."""
        return prod(len(choice.values) for choice in self.choices)

    def spec(self, picks: Picks, name: str) -> ModelSpec:
        """The network of a value for each choice, under a name."""
        return replace(SPACES[self.kind].build(self.base, picks), name=name)

    def extremes(self) -> tuple[Picks, Picks]:
        """The picks of the least values and of the largest, the smallest and largest networks."""
        low = {choice.name: min(choice.values) for choice in self.choices}
        return low, {choice.name: max(choice.values) for choice in self.choices}

    def covering(self) -> Iterator[Picks]:
        """Picks of networks that together have every block of the space."""
        return SPACES[self.kind].cover(self.choices)

    def of_base(self) -> Picks | None:
        """The picks of what the others are compared with; None where the space lacks them."""
        wanted = SPACES[self.kind].base_picks(self)
        has_all = all(wanted.get(choice.name) in choice.values for choice in self.choices)
        return wanted if has_all else None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "kind": self.kind,
            "base": self.base.name,
            "choices": {choice.name: list(choice.values) for choice in self.choices},
        }


@dataclass(frozen=True)
class _Kind:
    """How a space is laid out.

    Attributes:
        choices: of a base, for a target of a cost and a number of logits.
        build: a network of a base and of picks.
        base_picks: the picks of the network that the others are compared with; it is the base as
            it is, or what the space has in its stead.
        has_sides: whether the side of the input is chosen, too.
        needs: the cost that it is laid out for, where it is laid out for one alone.
        base_words: what is said of the base behind its name.
        cover: picks that together have every block of the space.
    """

    choices: Callable[[ModelSpec, int, int], tuple[Choice, ...]]
    build: Callable[[ModelSpec, Picks], ModelSpec]
    base_picks: Callable[[Space], Picks]
    has_sides: bool = False
    needs: str | None = None
    base_words: str = ""
    cover: Callable[[Sequence[Choice]], Iterator[Picks]] = cover_all


def find_space(kind: str, base: ModelSpec, objective: Objective, classes: int) -> Space:
    """Lays out a space around a network.

    Args:
        kind: a key of `SPACES`.
        base: the network.
        objective: what is looked for.
        classes: how many logits the networks have.

    Raises:
        UsageError: there is no such space, the base is no classifier, or the space is laid out for
            another cost.
    """
    if kind not in SPACES:
        raise UsageError(f"unknown space '{kind}'", hint=did_you_mean(kind, SPACES))
    if base.decoder is not None:
        raise UsageError(
            f"{base.name} is not what is searched for",
            cause="candidates are classifiers",
            hint=f"its backbone, {base.backbone.name}",
        )
    needs = SPACES[kind].needs
    if needs not in (None, objective.cost):
        raise UsageError(
            f"the space {kind} is laid out for {needs}, not for {objective.cost}",
            hint=f"--{needs}, or another --space",
        )
    return Space(kind, base, SPACES[kind].choices(base, objective.target, classes))


def scaled_near(base: ModelSpec, cost_of: Callable[[ModelSpec], float], target: float) -> ModelSpec:
    """The base with channels that make it cost about a target, so that a space lies around that.

    Args:
        base: a variant.
        cost_of: gives what one costs; more channels never cost less.
        target: in the same unit.
    """
    least, most = MULTIPLIERS  # of the variant, and of what it has already
    low, high = max(least, least / base.width), min(most, most / base.width)
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        if cost_of(scale_spec(base, width=middle)) > target:
            high = middle
        else:
            low = middle
    # Two digits: the name says them, and another search is as near.
    near = {round(value, 2) for value in (low, high)}
    return min(
        (scale_spec(base, width=value) for value in near),
        key=lambda spec: abs(log(cost_of(spec) / target)),
    )


def _stages(base: ModelSpec) -> tuple[StageSpec, ...]:
    """The base's stages as they are built, so that choices are of real channels and blocks."""
    return base.scaled_stages()


def _mbconv_choices(base: ModelSpec, _target: int, _classes: int) -> tuple[Choice, ...]:
    found = []
    for place, stage in enumerate(_stages(base), 1):
        found += [
            Choice(f"stage{place}_{name}", values)
            for name, values in _stage_values(place, stage, base).items()
        ]
    return tuple(found)


def _stage_values(place: int, stage: StageSpec, base: ModelSpec) -> dict[str, tuple[Value, ...]]:
    blocks = sorted({max(1, stage.repeats + more) for more in MORE_BLOCKS})
    values: dict[str, tuple[Value, ...]] = {
        "blocks": tuple(blocks) if stage.repeats > 1 else (1, 2),
        "kernel": KERNELS,
        "width": WIDTHS,
    }
    if not stage.kind:  # what only inverted residual blocks have
        if stage.expand > 1:
            values["expand"] = tuple(sorted({*EXPANSIONS, stage.expand}))
        if base.squeeze_excite:
            values["se"] = tuple(sorted({*RATIOS, stage.se_ratio}))
        if place <= FUSED_STAGES:
            values["fused"] = (False, True)
    if stage.kind not in ALWAYS_ADD:
        values["skip"] = (True, False)
    return values


def _mbconv(base: ModelSpec, picks: Picks) -> ModelSpec:
    stages, made = [], base.stem_filters
    for place, stage in enumerate(_stages(base), 1):

        def pick(name: str, own: Any, place: int = place) -> Any:
            return picks.get(f"stage{place}_{name}", own)

        width = round_filters(stage.out_filters, float(pick("width", 1.0)))
        built = replace(
            stage,
            repeats=int(pick("blocks", stage.repeats)),
            kernel=int(pick("kernel", stage.kernel)),
            expand=pick("expand", stage.expand),
            se_ratio=float(pick("se", stage.se_ratio)),
            fused=bool(pick("fused", stage.fused)),
            skip=bool(pick("skip", stage.skip)),
            in_filters=made,
            out_filters=width,
        )
        stages.append(str(built))
        made = width
    # What was scaled is in the stages now.
    return replace(
        base,
        width=1.0,
        depth=1.0,
        stem=base.stem_filters,
        head=base.head_filters,
        hidden=base.hidden_filters,
        stages=tuple(stages),
    )


def _mbconv_picks(space: Space) -> Picks:
    found: dict[str, Value] = {}
    for place, stage in enumerate(_stages(space.base), 1):
        own: dict[str, Value] = {
            "blocks": stage.repeats,
            "kernel": stage.kernel,
            "width": 1.0,
            "expand": stage.expand,
            "se": stage.se_ratio,
            "fused": stage.fused,
            "skip": stage.skip,
        }
        found |= {f"stage{place}_{name}": value for name, value in own.items()}
    return found


def _size(base: ModelSpec, picks: Picks) -> ModelSpec:
    side = round(base.resolution * float(picks.get("resolution", 1.0)) / 8) * 8
    return replace(
        base,
        width=round(base.width * float(picks.get("width", 1.0)), 10),
        depth=round(base.depth * float(picks.get("depth", 1.0)), 10),
        resolution=max(32, side),
    )


#: The name of a listed space's choice.
SCALING = "scaling"

SPACES: dict[str, _Kind] = {
    "mbconv": _Kind(_mbconv_choices, _mbconv, _mbconv_picks, cover=cover_stages),
    "size": _Kind(
        lambda base, target, classes: tuple(Choice(*row) for row in SCALES.items()),
        _size,
        lambda space: dict.fromkeys(SCALES, 1.0),
        has_sides=True,
    ),
    "scaling": _Kind(
        lambda base, target, classes: (Choice(SCALING, list_scalings(base, target, classes)),),
        lambda base, picks: scaled_by(base, str(picks[SCALING])),
        lambda space: {SCALING: space.choices[0].values[0]},
        has_sides=True,
        needs=MACS,
        base_words=" by the paper's coefficients",
    ),
}
