"""From a ModelSpec to a Graph with freshly drawn weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from edgekit.errors import whole
from edgekit.networks.builder import GraphBuilder
from edgekit.networks.detection.bifpn import add_pyramid
from edgekit.networks.detection.detectors import BACKBONE_LEVELS, EfficientDet
from edgekit.networks.detection.drawn import draw_detector, replace_classes
from edgekit.networks.detection.heads import add_heads
from edgekit.networks.edit import replace_head
from edgekit.networks.efficientnet.backbone import add_backbone
from edgekit.networks.efficientnet.block_plan import plan_blocks
from edgekit.networks.efficientnet.classifier import add_classifier
from edgekit.networks.efficientnet.origin import origin_of, spec_of
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.networks.segmentation.deeplab import add_deeplab
from edgekit.networks.segmentation.outputs import draw_logits, replace_logits
from edgekit.networks.segmentation.taps import LEVELS, TAPS
from edgekit.networks.segmentation.unet import add_unet


def build_graph(
    spec: ModelSpec,
    *,
    classes: int | None = None,
    resolution: int | tuple[int, int] | None = None,
    seed: int | None = 0,
) -> Graph:
    """Builds a variant.

    Args:
        spec: the variant.
        classes: number of logits; `ModelSpec.usual_classes` by default.
        resolution: side of the square input in pixels, or its height and width; the variant's own
            by default.
        seed: of the weights; None gives zeros that take no memory, for a look at the structure.

    Raises:
        UsageError: a number is a fraction, or less than 1.
    """
    asked = spec.resolution if resolution is None else resolution
    height, width = asked if isinstance(asked, tuple) else (asked, asked)
    size = whole("resolution", height), whole("resolution", width)
    count = whole("classes", spec.usual_classes if classes is None else classes)
    builder, end = GraphBuilder(size), ENDS[type(spec.decoder)]
    end.add(builder, spec, count)
    graph = builder.graph(spec.name, origin_of(spec), seed)
    return graph if seed is None else end.draw(graph, seed)


def with_classes(graph: Graph, classes: int, seed: int = 0) -> Graph:
    """Returns the network with what gives the logits freshly drawn, for ``classes`` of them.

    Args:
        graph: float, as `build_graph` gives it.
        classes: how many.
        seed: of the weights.
    """
    spec = spec_of(graph)
    return ENDS[type(spec.decoder if spec else None)].replace(graph, classes, seed)


def pyramid(graph: Graph) -> tuple[str, ...]:
    """The tensors that detectors and segmenters read: the last block at each stride, 2 to 32.

    Where no block is at stride 2, as in a ResNet, the stem's.

    In a network whose last strides are dilations, the last blocks before those would be.

    Raises:
        TypeError: the graph's nodes are not named as `build_graph` names them.
    """
    ends = {"stem": "stem"}  # the last node of each block
    for node in graph.nodes:
        block = node.name.partition("_")[0]
        if block.startswith("block"):
            ends[block] = node.name
    if len(ends) == 1:
        raise TypeError(f"{graph.name} has no blocks")
    spec = spec_of(graph)
    if spec is None:  # an older file, of a classifier
        del ends["stem"]
        return tuple({graph.shapes[end][0]: end for end in ends.values()}.values())
    return tuple(ends[block] for block in TAPS["tu"].tensors(plan_blocks(spec), spec.name))


def _add_classifier(builder: GraphBuilder, spec: ModelSpec, classes: int) -> None:
    *_, x = add_backbone(builder, spec, plan_blocks(spec)).values()
    add_classifier(builder, spec, x, classes)


def _add_unet(builder: GraphBuilder, spec: ModelSpec, classes: int) -> None:
    decoder = cast(UNet, spec.decoder)
    blocks = plan_blocks(spec)
    ends = add_backbone(builder, spec, blocks)
    tensors = TAPS[decoder.taps].tensors(blocks, spec.backbone.name)
    add_unet(builder, decoder, [ends[name] for name in tensors], classes)


def _add_deeplab(builder: GraphBuilder, spec: ModelSpec, classes: int) -> None:
    decoder = cast(DeepLab, spec.decoder)
    taps, variant = TAPS[decoder.taps], spec.backbone.name
    blocks = taps.dilate(plan_blocks(spec), variant, decoder.output_stride)
    ends = add_backbone(builder, spec, blocks)
    add_deeplab(builder, decoder, [ends[name] for name in taps.tensors(blocks, variant)], classes)


def _add_detector(builder: GraphBuilder, spec: ModelSpec, classes: int) -> None:
    decoder = cast(EfficientDet, spec.decoder)
    blocks = plan_blocks(spec)
    ends = add_backbone(builder, spec, blocks)
    by_level = dict(zip(LEVELS, TAPS["tu"].tensors(blocks, spec.backbone.name), strict=True))
    taps = [ends[by_level[level]] for level in BACKBONE_LEVELS]
    maps = add_pyramid(builder, decoder, taps, spec.activation)
    add_heads(builder, decoder, maps, classes, spec.activation)


@dataclass(frozen=True)
class End:
    """What follows the blocks.

    Attributes:
        add: writes it, for so many classes.
        draw: draws what of it the builder draws otherwise, with a seed.
        replace: draws what gives the logits, for another number of classes.
    """

    add: Callable[[GraphBuilder, ModelSpec, int], None]
    draw: Callable[[Graph, int], Graph]
    replace: Callable[[Graph, int, int], Graph]


#: By the type of a variant's decoder.
ENDS: dict[type[Any], End] = {
    type(None): End(_add_classifier, lambda graph, seed: graph, replace_head),
    UNet: End(_add_unet, draw_logits, replace_logits),
    DeepLab: End(_add_deeplab, draw_logits, replace_logits),
    EfficientDet: End(_add_detector, draw_detector, replace_classes),
}
