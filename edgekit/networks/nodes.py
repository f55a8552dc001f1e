"""The operators of a network, as data: typed nodes over named NHWC tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError

Array: TypeAlias = NDArray[Any]
_Row = TypeVar("_Row")


Shape: TypeAlias = tuple[int, ...]


BATCH_NORM_SUFFIXES = ("gamma", "beta", "mean", "variance")


#: Statistics that training updates but no gradient reaches.
STATISTICS = ("mean", "variance")
#: What is not counted as parameters.
NOT_LEARNED = (*STATISTICS, "anchors")


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator.

    Attributes:
        name: unique; also the name of the output tensor.
        inputs: the tensors it reads.
    """

    name: str
    inputs: tuple[str, ...]

    def weight_names(self) -> tuple[str, ...]:
        """The full names of the weights that this node reads."""
        return ()


@dataclass(frozen=True, kw_only=True)
class WeightedNode(Node):
    """A node with a kernel, and after it a bias, a batch normalization, both or neither.

    Attributes:
        batch_norm: the epsilon of a batch normalization, or None where it is folded or absent.
        use_bias: whether there is a bias where there is no batch normalization. Folding gives
            every node one (`edgekit.networks.passes.fold_batch_norm`).
        biased_norm: whether there is a bias in front of the batch normalization.
        weights_of: the node whose kernel and bias it has as well; empty where it has its own. A
            batch normalization is always its own. Folding gives every node its own.
    """

    batch_norm: float | None = None
    use_bias: bool = True
    biased_norm: bool = False
    weights_of: str = ""

    def weight_names(self) -> tuple[str, ...]:
        has_bias = self.use_bias if self.batch_norm is None else self.biased_norm
        owner = self.weights_of or self.name
        names = [f"{owner}/kernel"] + [f"{owner}/bias"] * has_bias
        if self.batch_norm is not None:
            names += [f"{self.name}/{suffix}" for suffix in BATCH_NORM_SUFFIXES]
        return tuple(names)


@dataclass(frozen=True, kw_only=True)
class WindowNode(Node):
    """A node whose window moves over height and width.

    Its output has ``ceil(side / stride)`` rows and columns whatever the padding.

    Attributes:
        kernel: side of the square window.
        stride: in both directions.
        padding: ``same`` (TensorFlow's: what is odd goes below and to the right) or
            ``symmetric`` (torch's: half of the kernel on each side).
        dilation: pixels from one tap of the window to the next, in both directions; above 1 only
            where the stride is 1.
    """

    kernel: int = 1
    stride: int = 1
    padding: str = "same"
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Pixels from the first tap of the window to the last, both counted."""
        return (self.kernel - 1) * self.dilation + 1

    def pads(self, side: int) -> tuple[int, int]:
        """Pixels added before and after ``side`` so that the output has the stated length.

        Nothing is decided by ``side``, so that it may stand for a size that is not known yet.
        """
        total = self.reach - 1 - (side - 1) % self.stride
        if self.reach < self.stride:  # pixels between the windows are never padded
            total = max(total, 0)
        before = self.reach // 2 if self.padding == "symmetric" else total // 2
        after = total - before
        if self.reach < 2 * self.stride - 1:
            # Symmetric padding may leave a last pixel that no window reaches: it is not padded.
            after = max(after, 0)
        return before, after


@dataclass(frozen=True, kw_only=True)
class SpatialNode(WindowNode, WeightedNode):
    """A node whose kernel moves over height and width, with its activation fused into it.

    What it is padded with is zero.

    Attributes:
        activation: ``linear``, ``relu``, ``relu6``, ``swish``, ``sigmoid``, or the two that are
            made of ReLU6 (MobileNetV3, arXiv 1905.02244, section 5.2): ``hard-sigmoid`` is
            ``relu6(x + 3) / 6``, and ``hard-swish`` x times that.
    """

    activation: str = "linear"


@dataclass(frozen=True, kw_only=True)
class Conv2D(SpatialNode):
    """A convolution.

    Attributes:
        filters: output channels.
    """

    filters: int


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(SpatialNode):
    """A depthwise convolution with multiplier 1."""


@dataclass(frozen=True, kw_only=True)
class FullyConnected(WeightedNode):
    """A dense layer over a vector.

    Attributes:
        units: output length.
        dropout: rate applied to the input in training.
    """

    units: int
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Activation(Node):
    """An activation of its own: ``sigmoid`` once swish is written out for an integer target."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class Add(Node):
    """A sum of two maps; of a residual connection the branch first, the shortcut second.

    Attributes:
        drop_connect: rate at which the whole branch of a sample is dropped in training.
        activation: of the sum; one of `SpatialNode.activation`.
    """

    drop_connect: float = 0.0
    activation: str = "linear"


@dataclass(frozen=True, kw_only=True)
class WeightedSum(Node):
    """A sum of maps, each with a weight that is learned: EfficientDet's fast fusion.

    ``sum(relu(w_i) * x_i) / (sum(relu(w)) + epsilon)``, Tan et al. 2020 (arXiv 1911.09070),
    section 3.3. `edgekit.networks.passes.expand_sums` writes it out for whoever has no row for it.

    Attributes:
        epsilon: keeps the division finite.
        activation: of the sum; one of `SpatialNode.activation`.
    """

    epsilon: float = 1e-4
    activation: str = "linear"

    def weight_names(self) -> tuple[str, ...]:
        return (f"{self.name}/weights",)


@dataclass(frozen=True, kw_only=True)
class Mul(Node):
    """An elementwise product; a [1, 1, C] operand is broadcast over height and width."""


@dataclass(frozen=True, kw_only=True)
class Mean(Node):
    """The mean over height and width.

    Attributes:
        keep_dims: whether the result is [1, 1, C] or [C].
    """

    keep_dims: bool


@dataclass(frozen=True, kw_only=True)
class AveragePool2D(Node):
    """The mean of each window; windows lie side by side, so the output is [H/kh, W/kw, C].

    Attributes:
        kernel: rows and columns of a window; they divide those of the map.
    """

    kernel: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class MaxPool2D(WindowNode):
    """The largest value of each window; what is padded is never the largest."""


@dataclass(frozen=True, kw_only=True)
class Flatten(Node):
    """The values of a map of one pixel, [1, 1, C], as a vector, [C]."""


@dataclass(frozen=True, kw_only=True)
class Rows(Node):
    """The values of a map as rows, [H * W * C / columns, columns], in the order of NHWC.

    Attributes:
        columns: values of a row; they divide the channels.
    """

    columns: int


@dataclass(frozen=True, kw_only=True)
class Concat(Node):
    """Maps of the same height and width, one after the other along the channels.

    Or `Rows` of the same columns, one after the other.
    """


#: How a map is resized, by name. ``nearest`` takes the pixels of `nearest_places`; of the bilinear
#: ones, ``bilinear-corners`` puts the centres of the corner pixels on each other
#: (torch's align_corners=True), ``bilinear-half-pixel`` the corners themselves (False).
RESIZE_METHODS = ("nearest", "bilinear-corners", "bilinear-half-pixel")


def nearest_places(before: int, after: int) -> NDArray[np.int64]:
    """Which of ``before`` pixels of a line each of ``after`` is; ``floor(i * before / after)``.

    In float32, in which torch and TFLite compute it: where that is a whole number, the result may
    be one less, as of 26 pixels to 44. A side that is doubled, or doubled less one, has none such.
    """
    ratio = np.float32(before) / np.float32(after)
    places: NDArray[np.int64] = np.floor(np.arange(after, dtype=np.float32) * ratio).astype(
        np.int64
    )
    return places.clip(max=before - 1)


@dataclass(frozen=True, kw_only=True)
class Resize(Node):
    """A map of another height and width.

    Attributes:
        size: rows and columns of the result.
        method: one of `RESIZE_METHODS`.
    """

    size: tuple[int, int]
    method: str = "nearest"


@dataclass(frozen=True, kw_only=True)
class Tile(Node):
    """A map of one pixel, [1, 1, C], repeated over rows and columns.

    Attributes:
        size: rows and columns of the result.
    """

    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ArgMax(Node):
    """The channel of the highest value at each pixel, an integer; of ties the lower one.

    Attributes:
        keep_dims: whether the result is [H, W, 1] or [H, W].
    """

    keep_dims: bool = False


@dataclass(frozen=True, kw_only=True)
class DetectionPostProcess(Node):
    """Boxes from what a detector says of its anchors: decoded, and of those that overlap the best.

    It reads offsets from the anchors, [A, 4], and scores of the classes, [A, C]; its weights are
    the anchors: centre y, centre x, height and width in fractions of the input. It writes
    [max_detections, 6]: top, left, bottom and right in such fractions, score and class index, the
    best first; rows without a box are zeros. Float in every scheme, as TFLite's operator is
    (`edgekit.networks.detection.postprocess`).

    Attributes:
        max_detections: rows.
        score_threshold: the lowest score that counts.
        iou_threshold: two boxes that overlap more are one.
        per_class: whether boxes of different classes may overlap.
    """

    max_detections: int = 100
    score_threshold: float = 0.0
    iou_threshold: float = 0.5
    per_class: bool = False

    def weight_names(self) -> tuple[str, ...]:
        return (f"{self.name}/anchors",)


NODE_TYPES: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        Conv2D,
        DepthwiseConv2D,
        FullyConnected,
        Activation,
        Add,
        WeightedSum,
        Mul,
        Mean,
        AveragePool2D,
        MaxPool2D,
        Flatten,
        Rows,
        Concat,
        Resize,
        Tile,
        ArgMax,
        DetectionPostProcess,
    )
}


#: What tables of kernels, and of what reads them, have no row for.
WITHOUT_KERNEL: dict[type[Node], str] = {
    cls: "it has no kernel" for cls in NODE_TYPES.values() if not issubclass(cls, WeightedNode)
}


#: What tables have no row for that only see what `edgekit.networks.passes.prepare` gave.
WRITTEN_OUT: dict[type[Node], str] = {WeightedSum: "it is not written out"}
#: What tables have no row for that are not TFLite's, or only see networks without such an end.
ENDS_TFLITE: dict[type[Node], str] = {
    DetectionPostProcess: "it is an operator of TFLite's own, behind the outputs of a network"
}


def activation_of(node: Node) -> str:
    """The activation that is fused into a node; ``linear`` where there is none."""
    if isinstance(node, SpatialNode | Add | WeightedSum):
        return node.activation
    return "linear"


def row_of(
    table: Mapping[type[Node], _Row],
    node: Node,
    what: str,
    unsupported: Mapping[type[Node], str] | None = None,
) -> _Row:
    """Finds a node's row in a walker's table, which a message calls ``what``.

    Raises:
        UsageError: there is none; the cause is the reason among ``unsupported``.
    """
    kind = type(node)
    if kind not in table:
        reason = (unsupported or {}).get(kind)
        raise UsageError(f"no {what} for the {kind.__name__} '{node.name}'", cause=reason)
    return table[kind]


def node_from_json(item: dict[str, Any]) -> Node:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}
    return NODE_TYPES[fields.pop("op")](**fields)
