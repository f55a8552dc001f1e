"""Weights in: reads a file safely, finds out whose names it uses, and fills a Graph strictly.

Every tensor of the file is used and every weight of the network filled, or an error names those
that are not. What belongs to weights comes with them: padding, epsilon and preprocessing stand
in the ``spec`` of the Graph.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.architecture import build_graph, replace_head
from edgekit.converters import keras_applications, tf1, timm, torchvision
from edgekit.converters.naming import Plan, Request, Source, their_shape, to_ours
from edgekit.converters.weight_files import WeightFile, open_weights
from edgekit.errors import UsageError, did_you_mean
from edgekit.graph import Array, Graph, WeightedNode, spec_from_json
from edgekit.spec import SPECS, ModelSpec

#: No classifier of the family is larger (ImageNet-21k has 21,843 classes).
MAX_CLASSES = 100_000
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
        notes: what was assumed or changed on the way, for the user.
        fresh_head: whether the classifier was drawn anew.
        assumed: whether the file does not say whose it is, so that its padding is a guess.
    """

    graph: Graph
    source: str
    notes: tuple[str, ...] = ()
    fresh_head: bool = False
    assumed: bool = False


def _plan_ours(file: WeightFile, request: Request) -> Plan:
    names = {full: full for node in request.graph.nodes for full in node.weight_names()}
    try:
        header = json.loads(file.metadata.get("edgekit", "{}"))
        theirs = spec_from_json(header.get("spec"))
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the header of {file.path} is damaged", cause=f"{type(error).__name__}: {error}"
        ) from error
    if theirs is None:
        return Plan(names, request.spec)
    brought = {name: getattr(theirs, name) for name in BROUGHT_ALONG}
    return Plan(names, replace(request.spec, **brought))


EDGEKIT = Source("edgekit", lambda names: "stem/kernel" in names, _plan_ours, None)

#: Every source by its name; a new one is a module like `edgekit.converters.tf1` and a line here.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        EDGEKIT,
        keras_applications.SOURCE,
        timm.OWN,
        timm.PORT,
        torchvision.SOURCE,
        tf1.SOURCE,
    )
}


def load_weights(
    path: Path,
    spec: ModelSpec,
    *,
    classes: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    source: str = "auto",
    ema: bool = True,
) -> Loaded:
    """Builds a variant with the weights of a file.

    A classifier for another number of classes is replaced by a fresh one.

    Args:
        path: a file that `edgekit.converters.weight_files.open_weights` reads.
        spec: the variant.
        classes: number of logits; as in the file by default.
        resolution: side of the input in pixels; the variant's own by default.
        seed: of a fresh classifier.
        source: whose names the file uses, a key of `SOURCES`; ``auto`` finds out.
        ema: whether averaged weights are taken where the file has both.

    Raises:
        UsageError: the file is missing, damaged or unsafe, or does not fit; the first
            mismatching tensors are named.
    """
    structure = build_graph(spec, classes=1, resolution=32, seed=None)
    with open_weights(path, limit=_most_bytes(structure), ema=ema) as file:
        origin, assumed = _find_source(file, spec, source)
        plan = origin.plan(file, Request(spec, structure, ema))
        found = _classes_in(file, plan)
        wanted = classes if classes is not None else found
        if wanted is None:
            raise UsageError(
                f"the weights in {path} have no classifier", hint="the number of classes"
            )
        graph = build_graph(plan.spec, classes=found or wanted, resolution=resolution, seed=None)
        _check(file, graph, origin, plan, found is not None)
        background = found == wanted + 1 and spec.name in origin.background_class
        skipped = () if found == wanted or background else _head(graph)
        weights = _read(file, graph, origin, plan, skipped)
    notes = (*file.notes, *plan.notes, *assumed)
    graph = replace(graph, weights=weights)
    if background:
        graph = _without_background(graph)
        notes = (*notes, "the background class (index 0) of the weights was dropped")
    elif skipped:
        graph = replace_head(graph, wanted, seed)
        had = f"has {found} classes, not {wanted}" if found else "is missing"
        notes = (*notes, f"the weights' classifier {had}: a fresh one took its place")
    return Loaded(graph, origin.name, notes, fresh_head=bool(skipped), assumed=bool(assumed))


def _find_source(file: WeightFile, spec: ModelSpec, wanted: str) -> tuple[Source, tuple[str, ...]]:
    if wanted != "auto":
        if wanted not in SOURCES:
            raise UsageError(
                f"unknown source '{wanted}'", hint=did_you_mean(wanted, [*SOURCES, "auto"])
            )
        if not SOURCES[wanted].recognises(file.shapes):
            raise UsageError(
                f"the weights in {file.path} are not from {wanted}",
                cause=f"it holds {_some(file.shapes)}",
                hint="the source 'auto', which finds out",
            )
        return SOURCES[wanted], ()
    origin = next((item for item in SOURCES.values() if item.recognises(file.shapes)), None)
    if origin is None:
        raise UsageError(
            f"whose weights {file.path} holds is not known",
            cause=f"it holds {_some(file.shapes)}",
            hint=f"EfficientNet weights of one of {', '.join(SOURCES)}",
        )
    return timm.tell(file, spec) if origin in (timm.OWN, timm.PORT) else (origin, ())


def _some(names: Collection[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in sorted(names)[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _most_bytes(structure: Graph) -> int:
    """More than any file of these weights holds."""
    floats = sum(math.prod(array.shape) for array in structure.weights.values())
    return COPIES * 4 * floats + SLACK


def _head(graph: Graph) -> tuple[str, ...]:
    return graph.nodes[-1].weight_names()


def _classes_in(file: WeightFile, plan: Plan) -> int | None:
    """The length of the file's classifier; None where it has none."""
    kernel, bias = (plan.names[f"logits/{part}"] for part in ("kernel", "bias"))
    if kernel not in file.shapes and bias not in file.shapes:
        return None
    shape = file.shapes.get(bias, ())
    if len(shape) != 1 or not 0 < shape[0] <= MAX_CLASSES:
        raise UsageError(
            f"the classifier in {file.path} cannot be used",
            cause=f"'{bias}' has shape {list(shape)}" if shape else f"'{bias}' is missing",
        )
    return shape[0]


def _check(file: WeightFile, graph: Graph, origin: Source, plan: Plan, headed: bool) -> None:
    """Compares names and shapes, before anything is read."""
    problems = list(_problems(file, graph, origin, plan, headed))
    if not problems:
        return
    shown = "; ".join(problems[:3])
    raise UsageError(
        f"the weights in {file.path} are not those of {graph.name}",
        cause=f"{shown}; and {len(problems) - 3} more" if len(problems) > 3 else shown,
        hint=_fitting(file, origin) or "the model that the weights were trained for",
    )


def _problems(
    file: WeightFile, graph: Graph, origin: Source, plan: Plan, headed: bool
) -> Iterator[str]:
    for node, ours in _weights(graph):
        theirs = plan.names[ours]
        shape = their_shape(origin.layout, node, ours, graph.weights[ours].shape)
        known = f"'{theirs}'" if theirs == ours else f"'{theirs}' ({ours})"
        if theirs not in file.shapes:
            if headed or ours not in _head(graph):
                yield f"{known} is missing"
        elif file.shapes[theirs] != shape:
            yield f"{known} has shape {list(file.shapes[theirs])}, not {list(shape)}"
    for name in sorted(file.shapes.keys() - set(plan.names.values()) - plan.ignored):
        yield f"'{name}' has no place"


def _fitting(file: WeightFile, origin: Source) -> str | None:
    """Names the variants that the file would fit, for the hint."""
    fits = []
    for spec in SPECS.values():
        structure = build_graph(spec, classes=1, resolution=32, seed=None)
        try:
            plan = origin.plan(file, Request(spec, structure))
            classes = _classes_in(file, plan)
            graph = build_graph(spec, classes=classes or 1, resolution=32, seed=None)
            if not any(_problems(file, graph, origin, plan, classes is not None)):
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
