"""timm's names and layouts for the weights of EfficientNet and EfficientNet-Lite.

Source: the state dicts of ``tf_efficientnet_b0`` and ``tf_efficientnet_lite0`` (timm,
``efficientnet.py`` and ``_efficientnet_blocks.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgekit.graph import Array, Conv2D, DepthwiseConv2D, Graph, WeightedNode

SUFFIXES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}

#: Our layer to timm's convolution and normalization.
TOP = {"stem": ("conv_stem", "bn1"), "head": ("conv_head", "bn2"), "logits": ("classifier", "")}
EXPANDED_BLOCK = {
    "expand": ("conv_pw", "bn1"),
    "depthwise": ("conv_dw", "bn2"),
    "project": ("conv_pwl", "bn3"),
    "se_reduce": ("se.conv_reduce", ""),
    "se_expand": ("se.conv_expand", ""),
}
#: A block with expansion 1 has no expansion convolution, and timm counts on from there.
PLAIN_BLOCK = {
    **EXPANDED_BLOCK,
    "depthwise": ("conv_dw", "bn1"),
    "project": ("conv_pw", "bn2"),
}


def recognises(names: set[str]) -> bool:
    """Whether the tensor names of a file are timm's."""
    return {"conv_stem.weight", "bn1.weight"} <= names


def names(graph: Graph) -> dict[str, str]:
    """Maps our weight names to timm's, for every weight of the Graph."""
    blocks = {node.name for node in graph.nodes}
    return {
        full: _timm_name(full, f"{full.split('_')[0]}_expand" in blocks)
        for node in graph.nodes
        for full in node.weight_names()
    }


def _timm_name(full: str, expanded: bool) -> str:
    layer, _, suffix = full.partition("/")
    match = re.fullmatch(r"block(\d+)([a-z])_(\w+)", layer)
    if match is None:
        prefix, (conv, norm) = "", TOP[layer]
    else:
        prefix = f"blocks.{int(match[1]) - 1}.{ord(match[2]) - ord('a')}."
        conv, norm = (EXPANDED_BLOCK if expanded else PLAIN_BLOCK)[match[3]]
    module = conv if suffix in ("kernel", "bias") else norm
    return f"{prefix}{module}.{SUFFIXES[suffix]}"


def to_ours(graph: Graph, state: Mapping[str, Array]) -> dict[str, Array]:
    """Renames and transposes a timm state dict; what has no place keeps its timm name."""
    ignored = {name for name in state if name.endswith("num_batches_tracked")}
    renamed: dict[str, Array] = {}
    table = names(graph)
    for node in graph.nodes:
        for full in node.weight_names():
            if table[full] in state:
                renamed[full] = _from_torch(node, full, state[table[full]])
    extra = state.keys() - set(table.values()) - ignored
    return {**renamed, **{name: state[name] for name in extra}}


def _from_torch(node: object, name: str, array: Array) -> Array:
    """Kernels: OIHW to HWIO, C1HW to HWC, OI to IO. A kernel of another rank is left alone."""
    if not isinstance(node, WeightedNode) or not name.endswith("/kernel"):
        return array
    if isinstance(node, Conv2D) and array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if isinstance(node, DepthwiseConv2D) and array.ndim == 4 and array.shape[1] == 1:
        return array[:, 0].transpose(1, 2, 0)
    return array.T if array.ndim == 2 else array
