"""Weights in: reads a file safely, finds out whose names it uses, and fills a Graph strictly.

Every weight of the network before the classifier is filled, and every tensor of the file that
belongs there used, or an error names those that are not. What belongs to weights comes with them:
padding, epsilon and preprocessing stand in the ``spec`` of the Graph.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgekit.converters.weights import keras_applications, lukemelas, tf1, timm, torchvision
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.head import Head, find_head
from edgekit.converters.weights.naming import (
    Plan,
    Request,
    Source,
    input_assumption,
    named,
    their_shape,
    to_ours,
)
from edgekit.converters.weights.network_in_file import find_network
from edgekit.converters.weights.open import PYTHON, Advice, open_weights
from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.edit import replace_head
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_in
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec
from edgekit.networks.graph import Graph, origin_in
from edgekit.networks.nodes import Array, WeightedNode
from edgekit.system.paths import StrPath

#: A file may hold optimizer slots and averages beside the weights.
COPIES, SLACK = 8, 64 * 2**20
#: What weights bring along; everything else in a spec is structure.
BROUGHT_ALONG = ("padding", "epsilon", "mean", "std", "interpolation", "crop")


@dataclass(frozen=True)
class Loaded:
    """A Graph with weights from a file.

    Attributes:
        graph: the network; its origin has the padding, the epsilon and the preprocessing that
            these weights expect.
        source: whose file it was, a key of `SOURCES`.
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


def _plan_ours(file: WeightFile, request: Request) -> Plan:
    names = {full: full for node in request.graph.nodes for full in node.weight_names()}
    backbone = r"(stem|block\d+[a-z]+_\w+|head)/.*"
    try:
        header = json.loads(file.metadata.get("edgekit", "{}"))
        theirs = spec_in(origin_in(header))
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the header of {file.path} is damaged", cause=f"{type(error).__name__}: {error}"
        ) from error
    if theirs is None:
        why = "the file has no header that says so; they are the variant's"
        return Plan(
            names, request.spec, backbone, assumptions=(input_assumption(request.spec, why),)
        )
    brought = {name: getattr(theirs, name) for name in BROUGHT_ALONG}
    return Plan(names, replace(request.spec, **brought), backbone)


EDGEKIT = Source("edgekit", (("stem/kernel",),), _plan_ours, None, separator=".")

#: Every source by its name; a new one is a module like `tf1` and a line here.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        EDGEKIT,
        keras_applications.SOURCE,
        timm.OWN,
        timm.PORT,
        torchvision.SOURCE,
        lukemelas.SOURCE,
        tf1.SOURCE,
    )
}


@dataclass(frozen=True)
class _Network:
    """A network in an open file.

    Attributes:
        file: its tensors alone.
        origin: whose names they have.
        plan: where they belong.
        head: its classifier.
        notes: on what else the file holds.
        padding: what was assumed of the padding; empty where nothing was.
    """

    file: WeightFile
    origin: Source
    plan: Plan
    head: Head
    notes: tuple[str, ...] = ()
    padding: str = ""

    def has_background(self, wanted: int) -> bool:
        """Whether its classifier has a background class beside the wanted ones."""
        published = self.plan.spec.name in self.origin.background_class
        return self.head.is_ours and published and self.head.classes == wanted + 1


def load_weights(
    path: StrPath,
    spec: ModelSpec,
    *,
    classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    source: str = "auto",
    ema: bool = True,
    advice: Advice = PYTHON,
) -> Loaded:
    """Builds a variant with the weights of a file.

    A classifier for another number of classes, or one that is not a single layer of the family's,
    is replaced by a fresh one.

    Args:
        path: a file that `edgekit.converters.weights.open.open_weights` reads.
        spec: the variant.
        classes: number of logits; as in the file by default.
        resolution: side of the input in pixels; the variant's own by default.
        seed: of a fresh classifier.
        source: whose names the file uses, a key of `SOURCES`; ``auto`` finds out.
        ema: whether averaged weights are taken where the file has both.
        advice: how the caller's options are called, for hints.

    Raises:
        UsageError: the file is missing, damaged or unsafe, or does not fit; the first
            mismatching tensors are named.
    """
    structure = build_graph(spec, classes=1, resolution=32, seed=None)
    with open_weights(path, limit=most_bytes(structure), advice=advice) as file:
        found = _find(file, Request(spec, structure, ema, advice), source)
        head, spec = found.head, found.plan.spec
        wanted = classes or head.classes or _check_headless(found, advice)
        count = head.classes if head.is_ours and head.classes else wanted
        graph = build_graph(spec, classes=count, resolution=resolution, seed=None)
        _check(found, graph)
        kept = head.is_ours and (head.classes == wanted or found.has_background(wanted))
        graph = replace(graph, weights=_read(found, graph, () if kept else _head(graph)))
    notes = [*found.notes, *found.plan.notes, *head.notes]
    assumptions = [found.padding, *found.plan.assumptions]
    if not kept:
        graph = replace_head(graph, wanted, seed)
        reason = head.why_not(wanted)
        notes.append(f"the weights' classifier {reason}: a fresh one took its place")
        if classes is None and head.classes:
            assumptions.append(f"{wanted} classes, as many as '{head.last}' has")
    elif found.has_background(wanted):
        graph = _without_background(graph)
        notes.append("the background class (index 0) of the weights was dropped")
    return Loaded(
        graph,
        found.origin.name,
        tuple(notes),
        tuple(filter(None, assumptions)),
        fresh_head=not kept,
        padding_assumption=found.padding,
        prefix=found.file.prefix,
        names=found.plan.names,
    )


def _find(file: WeightFile, request: Request, wanted: str) -> _Network:
    """Finds out whose names a file uses, and which of its tensors are the network's."""
    if wanted == "auto":
        candidates = list(SOURCES.values())
    elif wanted in SOURCES:
        candidates = [SOURCES[wanted]]
    else:
        raise UsageError(
            f"unknown source '{wanted}'", hint=did_you_mean(wanted, [*SOURCES, "auto"])
        )
    found = next((one for one in candidates if one.prefixes(file.shapes)), None)
    if found is None:
        known = wanted == "auto"
        raise UsageError(
            f"whose weights {file.path} holds is not known"
            if known
            else f"the weights in {file.path} are not from {wanted}",
            cause=f"it holds {named(file.shapes)}",
            hint=f"EfficientNet weights of one of {', '.join(SOURCES)}"
            if known
            else f"{request.advice.source.format('auto')}, which finds out",
        )
    own, notes = find_network(file, found.prefixes(file.shapes), request.ema)
    padding = ""
    if wanted == "auto" and found in (timm.OWN, timm.PORT):
        found, padding = timm.tell(own, request.spec, request.advice)
    plan = found.plan(own, request)
    return _Network(own, found, plan, find_head(own, plan), notes, padding)


def _check_headless(found: _Network, advice: Advice) -> int:
    """The number of logits where neither the caller nor the file says it.

    Raises:
        UsageError: the caller could have said it; or the rest of the network does not fit, which
            is then the first thing to know.
    """
    _check(found, build_graph(found.plan.spec, classes=1, resolution=32, seed=None))
    if advice.classes is None:
        return 1
    raise UsageError(
        f"the weights in {found.file.path} have no classifier",
        hint=f"the number of classes: {advice.classes}",
    )


def most_bytes(structure: Graph) -> int:
    """More than any file of a network's weights holds."""
    floats = sum(math.prod(array.shape) for array in structure.weights.values())
    return COPIES * 4 * floats + SLACK


def _head(graph: Graph) -> tuple[str, ...]:
    return graph.nodes[-1].weight_names()


def _check(found: _Network, graph: Graph) -> None:
    """Compares names and shapes, before anything is read."""
    problems = list(_problems(found, graph))
    if not problems:
        return
    shown = "; ".join(problems[:3])
    file = found.file
    under = f" (under '{file.prefix.rstrip('./')}')" if file.prefix else ""
    raise UsageError(
        f"the weights in {file.path}{under} are not those of {graph.name}",
        cause=f"{shown}; and {len(problems) - 3} more" if len(problems) > 3 else shown,
        hint=_fitting(found) or "the model that the weights were trained for",
    )


def _problems(found: _Network, graph: Graph) -> Iterator[str]:
    shapes, plan = found.file.shapes, found.plan
    for node, ours in _weights(graph):
        if ours in _head(graph) and not found.head.is_ours:
            continue
        theirs = plan.names[ours]
        shape = their_shape(found.origin.layout, node, ours, graph.weights[ours].shape)
        known = f"'{theirs}'" if theirs == ours else f"'{theirs}' ({ours})"
        if theirs not in shapes:
            yield f"{known} is missing"
        elif shapes[theirs] != shape:
            yield f"{known} has shape {list(shapes[theirs])}, not {list(shape)}"
    for name in sorted(shapes.keys() - set(plan.names.values()) - plan.ignored):
        if re.fullmatch(plan.backbone, name):
            yield f"'{name}' has no place"


def _fitting(found: _Network) -> str | None:
    """Names the variants that the file would fit, for the hint."""
    fits = []
    for spec in SPECS.values():
        structure = build_graph(spec, classes=1, resolution=32, seed=None)
        try:
            plan = found.origin.plan(found.file, Request(spec, structure))
            other = replace(found, plan=plan, head=find_head(found.file, plan))
            classes = other.head.classes or 1
            graph = build_graph(spec, classes=classes, resolution=32, seed=None)
            if not any(_problems(other, graph)):
                fits.append(spec.name)
        except UsageError:
            continue
    return f"the weights fit {' or '.join(fits)}" if fits else None


def _weights(graph: Graph) -> Iterator[tuple[WeightedNode, str]]:
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            for name in node.weight_names():
                yield node, name


def _read(found: _Network, graph: Graph, skipped: Collection[str]) -> dict[str, Array]:
    """Reads every weight; those of a classifier that is replaced stay as they are."""
    weights: dict[str, Array] = {}
    for node, ours in _weights(graph):
        if ours in skipped:
            weights[ours] = graph.weights[ours]
            continue
        array = found.file.read(found.plan.names[ours])
        weights[ours] = np.ascontiguousarray(to_ours(found.origin.layout, node, ours, array))
    return weights


def _without_background(graph: Graph) -> Graph:
    kernel, bias = _head(graph)
    cut = {kernel: graph.weights[kernel][:, 1:], bias: graph.weights[bias][1:]}
    smaller = replace_head(graph, graph.classes - 1)
    return replace(smaller, weights={**graph.weights, **cut})
