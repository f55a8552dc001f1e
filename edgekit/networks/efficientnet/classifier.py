"""What a classifier has behind the blocks."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.efficientnet.block_plan import node_padding
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.nodes import Conv2D, Flatten, FullyConnected, Mean


def add_classifier(builder: GraphBuilder, spec: ModelSpec, x: str, classes: int) -> None:
    """Writes the layers from the last block to the logits."""
    x = HEADS[spec.head_layers](builder, spec, x)
    builder.add(FullyConnected(name="logits", inputs=(x,), units=classes, dropout=spec.dropout))


def _conv(builder: GraphBuilder, spec: ModelSpec, x: str) -> str:
    return builder.add(
        Conv2D(
            name="head",
            inputs=(x,),
            filters=spec.head_filters,
            padding=node_padding(spec),
            activation=spec.activation,
            batch_norm=spec.epsilon,
        )
    )


def _pool(builder: GraphBuilder, x: str) -> str:
    return builder.add(Mean(name="pool", inputs=(x,), keep_dims=False))


def _pooled(builder: GraphBuilder, spec: ModelSpec, x: str) -> str:
    """MobileNetV3's: what was the last layer on the map is behind the mean, with a bias."""
    x = _conv(builder, spec, x)
    x = builder.add(Mean(name="pool", inputs=(x,), keep_dims=True))
    x = builder.add(
        Conv2D(
            name="hidden",
            inputs=(x,),
            filters=spec.hidden_filters,
            padding=node_padding(spec),
            activation=spec.activation,
        )
    )
    return builder.add(Flatten(name="embedding", inputs=(x,)))


#: Writers of what gives the embedding, by `ModelSpec.head_layers`.
HEADS: dict[str, Callable[[GraphBuilder, ModelSpec, str], str]] = {
    "conv": lambda builder, spec, x: _pool(builder, _conv(builder, spec, x)),
    "none": lambda builder, spec, x: _pool(builder, x),
    "pooled": _pooled,
}
