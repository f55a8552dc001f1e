"""Where the layers of a detector's pyramid and heads stand, and tables of what others call them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edgekit.networks.detection.detectors import BACKBONE_LEVELS
from edgekit.networks.detection.heads import BOX, CLASS, predictor
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Node, Shape

#: Of a role, by our suffixes: their variable; what a normalization is called stands under ``norm``.
Variables: TypeAlias = Mapping[str, str]

#: The convolution to the classes, without what follows its node's name.
CLASSES = predictor(CLASS, BACKBONE_LEVELS[0])

_COARSE = r"p(?P<level>\d+)_conv"
_CELL = r"bifpn(?P<cell>\d+)_p(?P<level>\d+)(?P<down>_down)?_(?P<layer>\w+)"
_HEAD = (
    rf"(?P<head>{BOX}|{CLASS})_p(?P<level>\d+)"
    r"(?:_conv(?P<repeat>\d+))?(?:_(?P<layer>depthwise|pointwise))?"
)


@dataclass(frozen=True)
class Spot:
    """Where a layer of ours stands.

    Attributes:
        role: ``coarse`` (the convolution to the first level behind the backbone), of a node of a
            cell ``lateral``, ``sum``, ``depthwise`` and ``pointwise``, of a head
            ``repeat-depthwise``, ``repeat-pointwise``, ``predict-depthwise`` and
            ``predict-pointwise``.
        numbers: what names are made of: ``level``; ``offset``, the level's from 0; ``cell``, from
            0; ``node``, in the cell, the way down first; ``number``, the node's behind the cell's
            inputs; ``head``; ``repeat``, from 0.
    """

    role: str
    numbers: Mapping[str, int | str]


def spots(graph: Graph) -> Iterator[tuple[Node, Spot]]:
    """The nodes with weights of the pyramid and the heads, in the order of the network."""
    nodes = [node for node in graph.nodes if node.weight_names()]
    levels = {int(m["level"]) for n in nodes if (m := re.fullmatch(_HEAD, n.name))}
    first, last = min(levels), max(levels)
    for node in nodes:
        for pattern in (_COARSE, _CELL, _HEAD):
            if (match := re.fullmatch(pattern, node.name)) is not None:
                yield node, _spot(match, first, last)
                break


def _spot(match: re.Match[str], first: int, last: int) -> Spot:
    found = match.groupdict()
    level = int(found["level"])
    numbers: dict[str, int | str] = {"level": level, "offset": level - first}
    if "head" in found:
        role = f"repeat-{found['layer']}" if found["repeat"] else "predict-depthwise"
        if not found["layer"]:
            role = "predict-pointwise"
        repeat = int(found["repeat"] or 1) - 1
        return Spot(role, numbers | {"head": found["head"], "repeat": repeat})
    if "cell" in found:
        # From the last level but one down to the first, and then up from the second.
        down = found["down"] or level == first
        node = last - 1 - level if down else last - first + level - first - 1
        number = last - first + 1 + node
        cell = {"cell": int(found["cell"]) - 1, "node": node, "number": number}
        return Spot(found["layer"], numbers | cell)
    return Spot("coarse", numbers)


def names_of(
    graph: Graph, table: Mapping[str, Variables], suffixes: Mapping[str, str], separator: str
) -> dict[str, str]:
    """Maps the weight names of the pyramid and the heads to theirs.

    Args:
        graph: a detector, as `edgekit.networks.efficientnet.architecture.build_graph` gives it.
        table: their variables, by role.
        suffixes: their variables of a normalization, by ours.
        separator: between a normalization and its variable.
    """
    names: dict[str, str] = {}
    for node, spot in spots(graph):
        for full in node.weight_names():
            suffix, row = full.rpartition("/")[2], table[spot.role]
            theirs = row[suffix] if suffix in row else f"{row['norm']}{separator}{suffixes[suffix]}"
            # Of shared weights the first level's name is the first one here.
            names.setdefault(full, theirs.format(**spot.numbers))
    return names


def count(pattern: str, shapes: Mapping[str, Shape]) -> int:
    """How many numbers names have from 0 at the group of a pattern."""
    found = [int(match[1]) for name in shapes if (match := re.fullmatch(pattern, name))]
    return 1 + max(found, default=-1)
