"""A network as a plain torch module, for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.networks.graph import Graph

if TYPE_CHECKING:  # torch takes a second to import
    from torch.fx import GraphModule


def to_torch(graph: Graph, *, fake_quantize: bool = False) -> GraphModule:
    """Writes a network as a static module in evaluation mode, one line of code for each operator.

    torch.fx, torch.jit.trace, torch.export, torch.onnx and makers' tools can trace it; its ``code``
    can be read. It takes normalised photos, float [n, 3, height, width], of the network's own
    resolution, and returns logits, float [n, classes], or what else the network gives; of several
    outputs a tuple of all, float [n, rows, columns]. What drops branches and inputs in training is
    left out.

    Args:
        graph: of any network, such as `edgekit.load` has in ``graph``; a quantized one where
            ``fake_quantize`` is given.
        fake_quantize: round kernels and tensors to the integers of the network's scales, by
            torch's own operators for that (``fake_quantize_per_tensor_affine`` and
            ``fake_quantize_per_channel_affine``); biases are rounded already.

    Raises:
        UsageError: the network is to be rounded, and has no scales for its activations.
    """
    from edgekit.converters.torch.builder import build
    from edgekit.converters.torch.plan import make_plan

    plan = make_plan(graph, fake_quantize=fake_quantize)
    return build(plan.steps, plan.arrays)
