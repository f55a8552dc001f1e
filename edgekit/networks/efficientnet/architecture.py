"""From a ModelSpec to a Graph with freshly drawn weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from edgekit.errors import whole
from edgekit.networks.builder import GraphBuilder
from edgekit.networks.efficientnet.backbone import add_backbone, node_padding, plan_blocks
from edgekit.networks.efficientnet.origin import origin_of, spec_of
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Conv2D, FullyConnected, Mean
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.networks.segmentation.deeplab import add_deeplab
from edgekit.networks.segmentation.outputs import draw_logits
from edgekit.networks.segmentation.taps import TAPS
from edgekit.networks.segmentation.unet import add_unet


def build_graph(
    spec: ModelSpec,
    *,
    classes: int | None = None,
    resolution: int | None = None,
    seed: int | None = 0,
) -> Graph:
    """Builds a variant.

    Args:
        spec: the variant.
        classes: number of logits; `ModelSpec.usual_classes` by default.
        resolution: side of the square input in pixels; the variant's own by default.
        seed: of the weights; None gives zeros that take no memory, for a look at the structure.

    Raises:
        UsageError: a number is a fraction, or less than 1.
    """
    side = whole("resolution", spec.resolution if resolution is None else resolution)
    count = whole("classes", spec.usual_classes if classes is None else classes)
    builder = GraphBuilder(side)
    ENDS[type(spec.decoder)](builder, spec, count)
    graph = builder.graph(spec.name, origin_of(spec), seed)
    return draw_logits(graph, seed) if spec.decoder and seed is not None else graph


def pyramid(graph: Graph) -> tuple[str, ...]:
    """The tensors that detectors and segmenters read: the last block at each stride, 2 to 32.

    In a network whose last strides are dilations, the last blocks before those would be.

    Raises:
        TypeError: the graph was not built by `build_graph`.
    """
    spec = spec_of(graph)
    if spec is None:
        raise TypeError(f"{graph.name} does not say what variant it is")
    ends: dict[str, str] = {}  # the last node of each block
    for node in graph.nodes:
        ends[node.name.partition("_")[0]] = node.name
    return tuple(ends[block] for block in TAPS["tu"].tensors(plan_blocks(spec), spec.name))


def _add_classifier(builder: GraphBuilder, spec: ModelSpec, classes: int) -> None:
    *_, x = add_backbone(builder, spec, plan_blocks(spec)).values()
    x = builder.add(
        Conv2D(
            name="head",
            inputs=(x,),
            filters=spec.head_filters,
            padding=node_padding(spec),
            activation=spec.activation,
            batch_norm=spec.epsilon,
        )
    )
    x = builder.add(Mean(name="pool", inputs=(x,), keep_dims=False))
    builder.add(FullyConnected(name="logits", inputs=(x,), units=classes, dropout=spec.dropout))


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


#: What follows the blocks, by the type of a variant's decoder.
ENDS: dict[type[Any], Callable[[GraphBuilder, ModelSpec, int], None]] = {
    type(None): _add_classifier,
    UNet: _add_unet,
    DeepLab: _add_deeplab,
}
