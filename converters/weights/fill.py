"""What of a file fills a network: found, compared before anything is read, and read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from edgekit.converters.weights import timm
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.head import Head, find_head, last_weights
from edgekit.converters.weights.naming import Plan, Request, Source, named, their_shape, to_ours
from edgekit.converters.weights.network_in_file import find_network
from edgekit.converters.weights.sources import SOURCES
from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, Node


@dataclass(frozen=True)
class Found:
    """A network in an open file.

    Of a network with a decoder it may be the backbone alone: a classifier's.

    Attributes:
        file: its tensors alone.
        origin: whose names they have.
        plan: where they belong.
        head: its classifier.
        notes: on what else the file holds.
        padding: what was assumed of the padding; empty where nothing was.
        is_whole: whether the plan is of the whole network, not of a backbone for a decoder.
    """

    file: WeightFile
    origin: Source
    plan: Plan
    head: Head
    notes: tuple[str, ...] = ()
    padding: str = ""
    is_whole: bool = True

    def has_background(self, wanted: int) -> bool:
        """Whether its classifier has a background class beside the wanted ones."""
        published = self.plan.spec.name in self.origin.background_class
        return self.head.is_ours and published and self.head.classes == wanted + 1

    def skips(self, graph: Graph) -> frozenset[str]:
        """The weights of a network, as the plan has it, that are not the file's."""
        if self.is_whole:
            return frozenset(() if self.head.is_ours else last_weights(self.plan.spec))
        others = (node for node in graph.nodes if not is_backbone(node.name))
        return frozenset(name for node in others for name in node.weight_names())

    @property
    def surplus(self) -> list[str]:
        """Tensors that a backbone for a decoder leaves."""
        graph = build_graph(self.plan.spec, classes=1, resolution=32, seed=None)
        skipped = self.skips(graph)
        used = {theirs for ours, theirs in self.plan.names.items() if ours not in skipped}
        return sorted(self.file.shapes.keys() - used - self.plan.ignored)


#: Of a classifier's file that a network with a decoder takes the backbone of.
NONE = Head(False, None)


def find(file: WeightFile, request: Request, wanted: str) -> Found:
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
    own = found.view(own)
    if found.has_decoder(own) and request.spec.decoder is None:
        raise UsageError(
            f"the weights in {file.path} are of a network with a decoder",
            cause=f"{request.spec.name} has none",
            hint="a model such as unet-lite0 for segmentation, or d0 for detection",
        )
    is_whole = request.spec.decoder is None or found.has_decoder(own)
    if not is_whole:
        request = backbone_request(request)
    padding = ""
    if wanted == "auto" and found in (timm.OWN, timm.PORT):
        found, padding = timm.tell(own, request.spec, request.advice)
    plan = found.plan(own, request)
    head = find_head(own, plan) if is_whole else NONE
    return Found(own, found, plan, head, notes, padding, is_whole)


def backbone_request(request: Request) -> Request:
    """What is asked for of a file that holds a classifier, for a network with a decoder."""
    backbone = request.spec.backbone
    return replace(request, spec=backbone, graph=build_graph(backbone, resolution=32, seed=None))


def check(found: Found, graph: Graph) -> None:
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


def _problems(found: Found, graph: Graph) -> Iterator[str]:
    shapes, plan, skipped = found.file.shapes, found.plan, found.skips(graph)
    for node, ours in _weights(graph):
        if ours in skipped:
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


def _fitting(found: Found) -> str | None:
    """Names the variants that the file would fit, for the hint."""
    fits = []
    decoder = found.plan.spec.decoder
    for backbone in (*SPECS.values(), *BASELINES.values()):
        spec = backbone.with_decoder(decoder) if decoder else backbone
        structure = build_graph(spec, classes=1, resolution=32, seed=None)
        try:
            plan = found.origin.plan(found.file, Request(spec, structure))
            head = find_head(found.file, plan) if found.is_whole else NONE
            other = replace(found, plan=plan, head=head)
            classes = other.head.classes or 1
            graph = build_graph(plan.spec, classes=classes, resolution=32, seed=None)
            if not any(_problems(other, graph)):
                fits.append(spec.name)
        except UsageError:
            continue
    return f"the weights fit {' or '.join(fits)}" if fits else None


def _weights(graph: Graph) -> Iterator[tuple[Node, str]]:
    """Every weight once, with the first node that has it."""
    owners: dict[str, Node] = {}
    for node in graph.nodes:
        for name in node.weight_names():
            owners.setdefault(name, node)
    return ((node, name) for name, node in owners.items())


def read(found: Found, graph: Graph, skipped: Collection[str]) -> dict[str, Array]:
    """Reads every weight; those of a classifier that is replaced stay as they are."""
    weights: dict[str, Array] = {}
    for node, ours in _weights(graph):
        if ours in skipped:
            weights[ours] = graph.weights[ours]
            continue
        array = found.file.read(found.plan.names[ours])
        weights[ours] = np.ascontiguousarray(to_ours(found.origin.layout, node, ours, array))
    return weights
