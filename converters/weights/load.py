"""Weights in: reads a file safely, finds out whose names it uses, and fills a Graph strictly.

Every weight of the network before the classifier is filled, and every tensor of the file that
belongs there used, or an error names those that are not. What belongs to weights comes with them:
padding, epsilon and preprocessing stand in the ``spec`` of the Graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgekit.converters.weights.fill import Found, check, find, read
from edgekit.converters.weights.head import last_weights
from edgekit.converters.weights.naming import Request, named
from edgekit.converters.weights.open import PYTHON, Advice, open_weights
from edgekit.converters.weights.sources import bring_along
from edgekit.errors import UsageError
from edgekit.networks.edit import replace_head
from edgekit.networks.efficientnet.architecture import build_graph, with_classes
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.system.paths import StrPath

#: A file may hold optimizer slots and averages beside the weights.
COPIES, SLACK = 8, 64 * 2**20


@dataclass(frozen=True)
class Loaded:
    """A Graph with weights from a file.

    Attributes:
        graph: the network; its origin has the padding, the epsilon and the preprocessing that
            these weights expect.
        source: whose file it was, a key of `edgekit.converters.weights.sources.SOURCES`.
        notes: what was found or changed on the way, for the user.
        assumptions: what the file does not say and was assumed, likewise.
        fresh_head: whether the classifier was drawn anew.
        padding_assumption: the one on how the network pads, where the file does not say whose it
            is; else empty.
        prefix: what stands before the names of these weights in the file.
        names: of every weight in the file, without the prefix, by ours.
    """

    graph: Graph
    source: str
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    fresh_head: bool = False
    padding_assumption: str = ""
    prefix: str = ""
    names: Mapping[str, str] = field(default_factory=dict, repr=False)

    def with_padding_known(self) -> Loaded:
        """The same where something other than the file has confirmed its padding."""
        rest = tuple(text for text in self.assumptions if text != self.padding_assumption)
        return replace(self, assumptions=rest, padding_assumption="")

    @property
    def said(self) -> tuple[str, ...]:
        """Notes and assumptions as lines for the user; an assumption is called one."""
        return (*self.notes, *(f"assumed: {text}" for text in self.assumptions))


def load_weights(
    path: StrPath,
    spec: ModelSpec,
    *,
    classes: int | None = None,
    resolution: int | tuple[int, int] | None = None,
    seed: int = 0,
    source: str = "auto",
    ema: bool = True,
    advice: Advice = PYTHON,
) -> Loaded:
    """Builds a variant with the weights of a file.

    A classifier for another number of classes, or one that is not a single layer of the family's,
    is replaced by a fresh one. A network with a decoder takes the backbone of a classifier's
    weights, and its decoder is drawn.

    Args:
        path: a file that `edgekit.converters.weights.open.open_weights` reads.
        spec: the variant.
        classes: number of logits; as in the file by default.
        resolution: side of the input in pixels, or its height and width; the variant's own by
            default.
        seed: of what is drawn.
        source: whose names the file uses, a key of `edgekit.converters.weights.sources.SOURCES`;
            ``auto`` finds out.
        ema: whether averaged weights are taken where the file has both.
        advice: how the caller's options are called, for hints.

    Raises:
        UsageError: the file is missing, damaged or unsafe, or does not fit; the first
            mismatching tensors are named.
    """
    structure = build_graph(spec, classes=1, resolution=32, seed=None)
    with open_weights(path, limit=most_bytes(structure), advice=advice) as file:
        found = find(file, Request(spec, structure, ema, advice), source)
        wanted = classes or found.head.classes or _check_headless(found, advice)
        if not found.is_whole:
            spec = bring_along(spec, found.plan.spec)
            graph = build_graph(spec, classes=wanted, resolution=resolution, seed=seed)
            return _load_backbone(found, graph)
        head, spec = found.head, found.plan.spec
        count = head.classes if head.is_ours and head.classes else wanted
        graph = build_graph(spec, classes=count, resolution=resolution, seed=None)
        check(found, graph)
        kept = head.is_ours and (head.classes == wanted or found.has_background(wanted))
        skipped = () if kept else last_weights(spec)
        graph = replace(graph, weights=read(found, graph, skipped))
    notes, assumptions = list(head.notes), []
    if not kept:
        graph = with_classes(graph, wanted, seed)
        reason = head.why_not(wanted)
        notes.append(f"the weights' classifier {reason}: a fresh one took its place")
        if classes is None and head.classes:
            assumptions.append(f"{wanted} classes, as many as '{head.last}' has")
    elif found.has_background(wanted):
        graph = _without_background(graph)
        notes.append("the background class (index 0) of the weights was dropped")
    return _loaded(found, graph, notes, assumptions, fresh_head=not kept)


def _load_backbone(found: Found, graph: Graph) -> Loaded:
    """A freshly drawn network with a decoder, with the backbone of a classifier's file."""
    base = build_graph(found.plan.spec, classes=1, resolution=32, seed=None)
    check(found, base)
    skipped = found.skips(base)
    backbone = {n: a for n, a in read(found, base, skipped).items() if n not in skipped}
    note = "the weights are of a backbone: the decoder is freshly drawn"
    if found.surplus:
        note += f", and nothing reads {named(found.surplus)}"
    graph = replace(graph, weights={**graph.weights, **backbone})
    return _loaded(found, graph, [note], [], fresh_head=True)


def _loaded(
    found: Found, graph: Graph, notes: list[str], assumptions: list[str], *, fresh_head: bool
) -> Loaded:
    said = (found.padding, *found.plan.assumptions, *assumptions)
    return Loaded(
        graph,
        found.origin.name,
        (*found.notes, *found.plan.notes, *notes),
        tuple(filter(None, said)),
        fresh_head=fresh_head,
        padding_assumption=found.padding,
        prefix=found.file.prefix,
        names=found.plan.names,
    )


def _check_headless(found: Found, advice: Advice) -> int:
    """The number of logits where neither the caller nor the file says it.

    Raises:
        UsageError: the caller could have said it; or the rest of the network does not fit, which
            is then the first thing to know.
    """
    check(found, build_graph(found.plan.spec, classes=1, resolution=32, seed=None))
    if advice.classes is None:
        return 1
    raise UsageError(
        f"the weights in {found.file.path} have no classifier"
        if found.is_whole
        else f"the weights in {found.file.path} are of a backbone, and its classes are others",
        hint=f"the number of classes: {advice.classes}",
    )


def most_bytes(structure: Graph) -> int:
    """More than any file of a network's weights holds."""
    floats = sum(math.prod(array.shape) for array in structure.weights.values())
    return COPIES * 4 * floats + SLACK


def _without_background(graph: Graph) -> Graph:
    kernel, bias = "logits/kernel", "logits/bias"
    cut = {kernel: graph.weights[kernel][:, 1:], bias: graph.weights[bias][1:]}
    smaller = replace_head(graph, graph.classes - 1)
    return replace(smaller, weights={**graph.weights, **cut})
