"""Weights in: reads a file safely, finds out whose names it uses, and fills a Graph strictly.

Every weight of the network before the classifier is filled, and every tensor of the file that
belongs there used, or an error names those that are not. What belongs to weights comes with them:
padding, epsilon and preprocessing stand in the ``spec`` of the Graph.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgekit.architecture import build_graph, replace_head
from edgekit.converters import keras_applications, lukemelas, tf1, timm, torchvision
from edgekit.converters.head import Head, find_head
from edgekit.converters.naming import (
    Plan,
    Request,
    Source,
    input_assumption,
    named,
    their_shape,
    to_ours,
)
from edgekit.converters.network_in_file import find_network
from edgekit.converters.weight_files import PYTHON, Advice, WeightFile, open_weights
from edgekit.errors import UsageError, did_you_mean
from edgekit.graph import Array, Graph, WeightedNode, spec_from_json
from edgekit.spec import SPECS, ModelSpec

#: A file may hold optimizer slots and averages beside the weights.
COPIES, SLACK = 8, 64 * 2**20
#: What weights bring along; everything else in a spec is structure.
BROUGHT_ALONG = ("padding", "epsilon", "mean", "std", "interpolation", "crop")


@dataclass(frozen=True)
class Loaded:
    """A Graph with weights from a file.

    Attributes:
        graph: the network; its ``spec`` has the padding, the epsilon and the preprocessing that
            these weights expect.
        source: whose file it was, a key of `SOURCES`.
        notes: what was found or changed on the way, for the user.
        assumptions: what the file does not say and was assumed, likewise.
        fresh_head: whether the classifier was drawn anew.
        assumed: whether the file does not say whose it is, so that its padding is a guess.
        prefix: what stands before the names of these weights in the file.
        names: of every weight in the file, without the prefix, by ours.
    """

    graph: Graph
    source: str
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    fresh_head: bool = False
    assumed: bool = False
    prefix: str = ""
    names: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def said(self) -> tuple[str, ...]:
        """Notes and assumptions as lines for the user; an assumption is called one."""
        return (*self.notes, *(f"assumed: {text}" for text in self.assumptions))


def _plan_ours(file: WeightFile, request: Request) -> Plan:
    names = {full: full for node in request.graph.nodes for full in node.weight_names()}
    backbone = r"(stem|block\d+[a-z]+_\w+|head)/.*"
    try:
        header = json.loads(file.metadata.get("edgekit", "{}"))
        theirs = spec_from_json(header.get("spec"))
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

#: Every source by its name; a new one is a module like `edgekit.converters.tf1` and a line here.
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


def load_weights(
    path: str | os.PathLike[str],
    spec: ModelSpec,
    *,
    classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    source: str = "auto",
    ema: bool = True,
    advice: Advice = PYTHON,
    otherwise: int | None = None,
) -> Loaded:
    """Builds a variant with the weights of a file.

    A classifier for another number of classes, or one that is not a single layer of the family's,
    is replaced by a fresh one.

    Args:
        path: a file that `edgekit.converters.weight_files.open_weights` reads.
        spec: the variant.
        classes: number of logits; as in the file by default.
        resolution: side of the input in pixels; the variant's own by default.
        seed: of a fresh classifier.
        source: whose names the file uses, a key of `SOURCES`; ``auto`` finds out.
        ema: whether averaged weights are taken where the file has both.
        advice: how the caller's options are called, for hints.
        otherwise: number of logits where neither ``classes`` nor the file says.

    Raises:
        UsageError: the file is missing, damaged or unsafe, or does not fit; the first
            mismatching tensors are named.
    """
    structure = build_graph(spec, classes=1, resolution=32, seed=None)
    with open_weights(path, limit=most_bytes(structure), advice=advice) as whole:
        origin, file, notes = _find_source(whole, source, ema)
        padding: tuple[str, ...] = ()
        if source == "auto" and origin in (timm.OWN, timm.PORT):
            origin, padding = timm.tell(file, spec, advice)
        plan = origin.plan(file, Request(spec, structure, ema, advice))
        head = find_head(file, plan)
        wanted = classes if classes is not None else head.classes or otherwise
        if wanted is None:
            # Without a classifier, the first thing to know is whether the rest is there.
            _check(file, build_graph(plan.spec, resolution=32, seed=None), origin, plan, head)
            raise UsageError(
                f"the weights in {whole.path} have no classifier",
                hint=f"the number of classes: {advice.classes}" if advice.classes else None,
            )
        count = head.classes if head.is_ours and head.classes else wanted
        graph = build_graph(plan.spec, classes=count, resolution=resolution, seed=None)
        _check(file, graph, origin, plan, head)
        background = (
            head.is_ours and head.classes == wanted + 1 and spec.name in origin.background_class
        )
        kept = head.is_ours and (head.classes == wanted or background)
        weights = _read(file, graph, origin, plan, () if kept else _head(graph))
    notes = (*notes, *plan.notes, *head.notes)
    graph = replace(graph, weights=weights)
    if background:
        graph = _without_background(graph)
        notes = (*notes, "the background class (index 0) of the weights was dropped")
    elif not kept:
        graph = replace_head(graph, wanted, seed)
        notes = (
            *notes,
            f"the weights' classifier {head.why_not(wanted)}: a fresh one took its place",
        )
    asked = classes is None and not head.is_ours and head.classes is not None
    guessed = (f"{wanted} classes, as many as '{head.last}' has",) if asked else ()
    return Loaded(
        graph,
        origin.name,
        notes,
        (*padding, *plan.assumptions, *guessed),
        fresh_head=not kept and not background,
        assumed=bool(padding),
        prefix=file.prefix,
        names=plan.names,
    )


def _find_source(
    file: WeightFile, wanted: str, ema: bool
) -> tuple[Source, WeightFile, tuple[str, ...]]:
    """Whose names a file uses, and what `find_network` says of them."""
    if wanted == "auto":
        candidates = list(SOURCES.values())
    elif wanted in SOURCES:
        candidates = [SOURCES[wanted]]
    else:
        raise UsageError(
            f"unknown source '{wanted}'", hint=did_you_mean(wanted, [*SOURCES, "auto"])
        )
    for source in candidates:
        if prefixes := source.prefixes(file.shapes):
            return source, *find_network(file, prefixes, ema)
    if wanted != "auto":
        raise UsageError(
            f"the weights in {file.path} are not from {wanted}",
            cause=f"it holds {named(file.shapes)}",
            hint="the source 'auto', which finds out",
        )
    raise UsageError(
        f"whose weights {file.path} holds is not known",
        cause=f"it holds {named(file.shapes)}",
        hint=f"EfficientNet weights of one of {', '.join(SOURCES)}",
    )


def most_bytes(structure: Graph) -> int:
    """More than any file of a network's weights holds."""
    floats = sum(math.prod(array.shape) for array in structure.weights.values())
    return COPIES * 4 * floats + SLACK


def _head(graph: Graph) -> tuple[str, ...]:
    return graph.nodes[-1].weight_names()


def _check(file: WeightFile, graph: Graph, origin: Source, plan: Plan, head: Head) -> None:
    """Compares names and shapes, before anything is read."""
    problems = list(_problems(file, graph, origin, plan, head))
    if not problems:
        return
    shown = "; ".join(problems[:3])
    under = f" (under '{file.prefix.rstrip('./')}')" if file.prefix else ""
    raise UsageError(
        f"the weights in {file.path}{under} are not those of {graph.name}",
        cause=f"{shown}; and {len(problems) - 3} more" if len(problems) > 3 else shown,
        hint=_fitting(file, origin) or "the model that the weights were trained for",
    )


def _problems(
    file: WeightFile, graph: Graph, origin: Source, plan: Plan, head: Head
) -> Iterator[str]:
    for node, ours in _weights(graph):
        if ours in _head(graph) and not head.is_ours:
            continue
        theirs = plan.names[ours]
        shape = their_shape(origin.layout, node, ours, graph.weights[ours].shape)
        known = f"'{theirs}'" if theirs == ours else f"'{theirs}' ({ours})"
        if theirs not in file.shapes:
            yield f"{known} is missing"
        elif file.shapes[theirs] != shape:
            yield f"{known} has shape {list(file.shapes[theirs])}, not {list(shape)}"
    for name in sorted(file.shapes.keys() - set(plan.names.values()) - plan.ignored):
        if re.fullmatch(plan.backbone, name):
            yield f"'{name}' has no place"


def _fitting(file: WeightFile, origin: Source) -> str | None:
    """Names the variants that the file would fit, for the hint."""
    fits = []
    for spec in SPECS.values():
        structure = build_graph(spec, classes=1, resolution=32, seed=None)
        try:
            plan = origin.plan(file, Request(spec, structure))
            head = find_head(file, plan)
            graph = build_graph(spec, classes=head.classes or 1, resolution=32, seed=None)
            if not any(_problems(file, graph, origin, plan, head)):
                fits.append(spec.name)
        except UsageError:
            continue
    return f"the weights fit {' or '.join(fits)}" if fits else None


def _weights(graph: Graph) -> Iterator[tuple[WeightedNode, str]]:
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            for name in node.weight_names():
                yield node, name


def _read(
    file: WeightFile, graph: Graph, origin: Source, plan: Plan, skipped: Collection[str]
) -> dict[str, Array]:
    """Reads every weight; those of a classifier that is replaced stay as they are."""
    weights: dict[str, Array] = {}
    for node, ours in _weights(graph):
        if ours in skipped:
            weights[ours] = graph.weights[ours]
            continue
        array = file.read(plan.names[ours])
        weights[ours] = np.ascontiguousarray(to_ours(origin.layout, node, ours, array))
    return weights


def _without_background(graph: Graph) -> Graph:
    kernel, bias = _head(graph)
    cut = {kernel: graph.weights[kernel][:, 1:], bias: graph.weights[bias][1:]}
    smaller = replace_head(graph, graph.classes - 1)
    return replace(smaller, weights={**graph.weights, **cut})
