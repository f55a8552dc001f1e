"""Every source of weights; edgekit's own graphs are one of them."""

from __future__ import annotations

import json
from dataclasses import replace

from edgekit.converters.weights import (
    automl,
    effdet,
    keras_applications,
    lukemelas,
    smp,
    tf1,
    timm,
    torchvision,
)
from edgekit.converters.weights.decoder_in_file import check_decoder
from edgekit.converters.weights.detector_names import CLASSES
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import Plan, Request, Source, input_assumption
from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_in
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph, origin_in

#: What weights bring along; everything else in a spec is structure.
BROUGHT_ALONG = ("padding", "epsilon", "mean", "std", "interpolation", "crop")


def bring_along(spec: ModelSpec, theirs: ModelSpec) -> ModelSpec:
    """A variant with what belongs to weights as another one has it."""
    return replace(spec, **{name: getattr(theirs, name) for name in BROUGHT_ALONG})


def _plan_ours(file: WeightFile, request: Request) -> Plan:
    names = _own_names(request.graph)
    backbone = (
        r"(stem|block\d+[a-z]+_\w+|head|hidden|aspp\w+|decoder\w+"
        r"|bifpn\w+|p\d+_conv|(class|box)_p\w+)/.*"
    )
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
    spec = bring_along(request.spec, theirs)
    if theirs.decoder is None:
        return Plan(names, spec, backbone)
    decoder = check_decoder(file, request, theirs.decoder)
    notes: tuple[str, ...] = ()
    strides = [getattr(one, "output_stride", None) for one in (decoder, theirs.decoder)]
    if strides[0] != strides[1]:
        notes = (f"they were trained at output stride {strides[1]}, and are used at {strides[0]}",)
    spec = replace(spec, decoder=decoder)
    if isinstance(decoder, EfficientDet):  # its fusion and biases are the weights'
        names = _own_names(build_graph(spec, classes=1, resolution=32, seed=None))
    return Plan(names, spec, backbone, notes=notes)


def _own_names(graph: Graph) -> dict[str, str]:
    return {full: full for node in graph.nodes for full in node.weight_names()}


def _decodes(file: WeightFile) -> bool:
    return len(file.shapes.get("logits/kernel", ())) == 4 or f"{CLASSES}/kernel" in file.shapes


EDGEKIT = Source(
    "edgekit", (("stem/kernel",),), _plan_ours, None, separator=".", has_decoder=_decodes
)

#: Every source by its name; a new one is a module like `tf1` and a line here.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        EDGEKIT,
        smp.SOURCE,  # these before those that their encoders are of
        effdet.SOURCE,
        automl.SOURCE,
        keras_applications.SOURCE,
        timm.OWN,
        timm.PORT,
        torchvision.SOURCE,
        lukemelas.SOURCE,
        tf1.SOURCE,
    )
}
