"""What every source of weights has in common: where a layer stands, tables of names, layouts.

A source is one file with one `Source`: a table of names, a layout, and what its weights expect
of their input. `edgekit.converters.weights.sources` holds the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.open import PYTHON, Advice
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Array,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Node,
    Shape,
    WeightedNode,
)

#: Of a role (``stem``, ``expand``, …): their convolution, and their normalization after it.
Layers: TypeAlias = Mapping[str, tuple[str, str]]
#: Per type of node, the axes of their kernel in the order of ours; a depthwise kernel has four.
Layout: TypeAlias = Mapping[type[Node], tuple[int, ...]]

#: OIHW to HWIO, C1HW to HWC1, OI to IO.
TORCH: Layout = {Conv2D: (2, 3, 1, 0), DepthwiseConv2D: (2, 3, 0, 1), FullyConnected: (1, 0)}
#: TensorFlow's are ours, but for depthwise kernels: HWC1.
TENSORFLOW: Layout = {Conv2D: (0, 1, 2, 3), DepthwiseConv2D: (0, 1, 2, 3), FullyConnected: (0, 1)}

TORCH_SUFFIXES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
#: Counters in a state dict: of batch normalization, and of averaging.
TORCH_COUNTERS = r"(.*\.)?num_batches_tracked|n_averaged"
TENSORFLOW_SUFFIXES = {
    "kernel": "kernel",
    "bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}


@dataclass(frozen=True)
class Names:
    """A table of names: one kind of network, one way to name its weights.

    Attributes:
        top: the layers outside of the blocks: ``stem``, ``head``, ``hidden`` and ``logits``.
        blocks: the layers of a block, by its kind: ``mbconv`` or ``fused``, and the same with
            ``-e1`` for a block that does not widen its input; ``basic`` or ``bottleneck``.
        prefix: of a block's layers; it and their names may hold what `_numbers` gives. Names of
            ``top`` may hold ``{last}``, the number of the last stage, ``{after}``, the one after
            it, and ``{behind}``, the number after the last block.
        suffixes: of their variables, by ours.
        separator: between a layer and its variable.
    """

    top: Layers
    blocks: Mapping[str, Layers]
    prefix: str
    suffixes: Mapping[str, str]
    separator: str = "."

    def of(self, graph: Graph) -> dict[str, str]:
        """Maps our weight names to theirs, for every weight of the Graph.

        Raises:
            UsageError: the network has a layer that this source has no name for.
        """
        table: dict[str, str] = {}
        for node, place in places(graph):
            layers = self.blocks.get(place.kind, {}) if place.kind else self.top
            if place.role not in layers:
                raise UsageError(f"weights of this source have no '{node.name}'")
            prefix = self.prefix.format(**place.numbers) if place.kind else ""
            conv, norm = (part.format(**place.numbers) for part in layers[place.role])
            for full in node.weight_names():
                suffix = full.rpartition("/")[2]
                layer = conv if suffix in ("kernel", "bias") else norm
                table[full] = f"{prefix}{layer}{self.separator}{self.suffixes[suffix]}"
        return table


@dataclass(frozen=True)
class Place:
    """Where a layer of ours stands.

    Attributes:
        role: ``stem``, ``head``, ``hidden``, ``logits``, or of a block ``expand``, ``depthwise``,
            ``se_reduce``, ``se_expand``, ``project``, ``conv1`` … ``conv3``, ``shortcut``.
        kind: of the block (see `Names.blocks`); empty outside of the blocks.
        numbers: what prefixes are made of.
    """

    role: str
    kind: str
    numbers: Mapping[str, int | str]


def places(graph: Graph) -> Iterator[tuple[WeightedNode, Place]]:
    """The layers with weights, in the order of the network, and where each stands."""
    layers = [node for node in graph.nodes if isinstance(node, WeightedNode)]
    names = {node.name for node in layers}
    parsed = [(node, re.fullmatch(r"(block(\d+)([^\d_]+))_(\w+)", node.name)) for node in layers]
    stages = {match[1]: int(match[2]) for _, match in parsed if match}  # of every block, in order
    blocks = list(stages)
    for node, match in parsed:
        if match is None:
            last = max(stages.values(), default=0)
            ends = {"last": last, "after": last + 1, "behind": len(blocks) + 1}
            yield node, Place(node.name, "", ends)
            continue
        block, stage = match[1], int(match[2])
        roles = {name.removeprefix(f"{block}_") for name in names if name.startswith(f"{block}_")}
        repeat = [name for name in blocks if stages[name] == stage].index(block)
        numbers = _numbers(stage, repeat, blocks.index(block), roles)
        yield node, Place(match[4], _kind(roles), numbers | {"letter": match[3]})


#: Roles that only blocks of a kind have, the first that fits.
KIND_SIGNS = {"depthwise": "mbconv", "conv3": "bottleneck", "conv1": "basic"}


def _kind(roles: Collection[str]) -> str:
    """The kind of a block that has layers of these roles."""
    kind = next((kind for role, kind in KIND_SIGNS.items() if role in roles), "fused")
    return kind if "expand" in roles or kind in ("bottleneck", "basic") else f"{kind}-e1"


def _numbers(stage: int, repeat: int, block: int, roles: Collection[str]) -> dict[str, int | str]:
    """What names of a block's layers are made of; the letter (a, b, …) is added.

    Args:
        stage: from 1; ``stage0`` from 0, ``stage6`` from 7.
        repeat: the block's place in it, from 0; ``repeat1`` from 1.
        block: its place in the network, from 0; ``block1`` from 1.
        roles: of its layers; ``project`` is the place of the last of expansion, depthwise
            convolution, squeeze-excite and projection, from 0.
    """
    return {
        **{"stage": stage, "stage0": stage - 1, "stage6": stage + 6},
        **{"repeat": repeat, "repeat1": repeat + 1, "block": block, "block1": block + 1},
        "project": ("expand" in roles) + 1 + ("se_reduce" in roles),
    }


def their_shape(layout: Layout | None, node: Node, name: str, shape: Shape) -> Shape:
    """The shape that a weight of ours has in their layout."""
    if layout is None or not name.endswith("/kernel"):
        return shape
    ours = (*shape, 1) if isinstance(node, DepthwiseConv2D) else shape
    theirs = dict(zip(layout[type(node)], ours, strict=True))
    return tuple(theirs[axis] for axis in range(len(ours)))


def to_ours(layout: Layout | None, node: Node, name: str, array: Array) -> Array:
    """Moves a weight of the shape that `their_shape` gives into our layout."""
    if layout is None or not name.endswith("/kernel"):
        return array
    moved = array.transpose(layout[type(node)])
    return moved[..., 0] if isinstance(node, DepthwiseConv2D) else moved


def to_theirs(layout: Layout | None, node: Node, name: str, array: Array) -> Array:
    """Moves a weight of ours into their layout: what `to_ours` moves back."""
    if layout is None or not name.endswith("/kernel"):
        return array
    ours = array[..., None] if isinstance(node, DepthwiseConv2D) else array
    return ours.transpose(np.argsort(layout[type(node)]))


@dataclass(frozen=True)
class Plan:
    """How a file fills a network.

    Attributes:
        names: of every weight: ours to theirs.
        spec: the variant with the padding, epsilon and preprocessing of these weights.
        backbone: a pattern of the names of all layers before the classifier: such a tensor
            without a place belongs to another network, any other one to another head.
        ignored: names in the file that are no weights, or that others stand in for.
        notes: what was found or changed, for the user.
        assumptions: what the file does not say, likewise.
    """

    names: Mapping[str, str]
    spec: ModelSpec
    backbone: str
    ignored: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        spec: the variant.
        graph: its structure, with any number of classes.
        ema: whether averaged weights are wanted where a file has both.
        advice: what hints name.
    """

    spec: ModelSpec
    graph: Graph
    ema: bool = True
    advice: Advice = PYTHON


@dataclass(frozen=True)
class Source:
    """One way to write the family's weights down.

    Attributes:
        name: as in ``--source``.
        signs: sets of names; a file with all names of one set is of this kind.
        plan: the names, and what comes with the weights.
        layout: of the kernels; None for ours.
        background_class: variants whose published classifiers count a background class first.
        separator: what ends a prefix of all names, such as ``module.``; empty where there is none.
        has_decoder: whether a file of this kind holds a network with a decoder.
        view: a file of this kind as the plan is made for: other names, for tensors that it holds.
    """

    name: str
    signs: tuple[tuple[str, ...], ...]
    plan: Callable[[WeightFile, Request], Plan]
    layout: Layout | None
    background_class: frozenset[str] = frozenset()
    separator: str = ""
    has_decoder: Callable[[WeightFile], bool] = lambda file: False
    view: Callable[[WeightFile], WeightFile] = lambda file: file

    def prefixes(self, names: Collection[str]) -> list[str]:
        """What stands before the names of each network of this kind in a file, in its order."""
        known = set(names)
        found: dict[str, None] = {}
        for first, *others in self.signs:
            for name in names:
                prefix = name.removesuffix(first)
                whole = not prefix or (self.separator and prefix.endswith(self.separator))
                if name.endswith(first) and whole and all(prefix + o in known for o in others):
                    found[prefix] = None
        return list(found)


def named(names: Collection[str], limit: int = 3) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(f"'{name}'" for name in sorted(names)[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def triples(spec: ModelSpec) -> str:
    """The mean and std of a variant, for the user."""
    mean, std = (", ".join(f"{v:g}" for v in values) for values in (spec.mean, spec.std))
    return f"mean {mean} and std {std}"


def input_assumption(spec: ModelSpec, why: str) -> str:
    """What to say of a mean and a std that the file does not state."""
    return f"{triples(spec)}: {why}"


def matching(pattern: str, names: Collection[str]) -> frozenset[str]:
    """The names that match a pattern from end to end."""
    return frozenset(name for name in names if re.fullmatch(pattern, name))
