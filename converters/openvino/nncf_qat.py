"""NNCF's quantization-aware training: its integers learn, and OpenVINO converts what they become.

Photos, losses, averaged weights, checkpoints and resuming are those of our own training in 8 bits
(`edgekit.calibration.qat`); what rounds, where, and how ranges learn is NNCF's.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from edgekit.calibration.qat import QuantizedTrainer
from edgekit.converters.openvino.nncf import DEFAULT_SUBSET, nncf, quiet
from edgekit.converters.openvino.write import (
    describe,
    name_operators,
    normalize_inside,
    openvino,
)
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.selection import evenly
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Node,
    Rows,
    SpatialNode,
)
from edgekit.networks.passes import swishes
from edgekit.networks.predict import to_input
from edgekit.networks.torch_network import ACTIVATIONS, GraphModule, Network, join
from edgekit.system.paths import StrPath
from edgekit.training.job import TrainingJob
from edgekit.training.recipe import LEARNING_RATES, QAT_LEARNING_RATE
from edgekit.training.trainer import Advance

#: The recipe counts in integer steps, NNCF learns plain values: what a fine-tuning takes instead.
_PLAIN_RATE = LEARNING_RATES["adamw"][True] / QAT_LEARNING_RATE
#: Seconds for NNCF's C++ kernels, which it compiles once; its own 60 are too few where the machine
#: is small or has other work, and the training then ends.
COMPILING = "900"
_HOOKS = "__nncf_hooks."  # what NNCF adds to a network: its ranges


def train_nncf(
    job: TrainingJob,
    calibration: Iterable[NDArray[np.uint8]],
    *,
    io: str,
    folder: StrPath,
    advance: Advance | None = None,
) -> Any:
    """Quantizes a float network with NNCF (preset MIXED), trains it, and converts it.

    Args:
        job: with a float and prepared graph (`edgekit.networks.passes.prepare`), the preprocessing
            of the weights, and the recipe of `QuantizedTrainer`; 0 epochs train nothing.
        calibration: uint8 batches [n, height, width, 3], of which the first ranges are.
        io: type of the input, as for `edgekit.converters.openvino.write.convert`.
        folder: where the checkpoint lies while it trains; one found there is resumed.
        advance: told about progress.

    Returns:
        An `openvino.Model` of batch 1 with the input, output and rt_info of `quantize_nncf`'s.

    Raises:
        UsageError: no calibration photos, or labels are to be learned and photos have none.
        MissingToolError: OpenVINO or NNCF is not installed.
        EdgekitError: NNCF or OpenVINO failed, or training diverged.
    """
    folder = Path(folder)
    openvino()
    os.environ.setdefault("NNCF_EXTENSION_LOAD_TIMEOUT", COMPILING)
    graph, preprocessing = job.graph, job.preprocessing
    quantized = _quantize(graph, calibration, preprocessing)
    trainer = _NncfTrainer(quantized, job, folder, advance)
    model = _convert(trainer.learn(), graph)
    if io == "uint8":
        model = normalize_inside(openvino(), model, preprocessing)
    describe(model, preprocessing, labels=preprocessing.labels, quantizer="nncf")
    name_operators(model)
    trainer.checkpoints.remove()
    return model


class _NncfTrainer(QuantizedTrainer):
    """Trains a network that NNCF has quantized; the float network is the teacher."""

    def __init__(
        self,
        quantized: Any,
        job: TrainingJob,
        folder: Path,
        advance: Advance | None,
    ) -> None:
        self._quantized = quantized
        super().__init__(job.graph, job, folder, advance=advance)

    def make_network(self, graph: Graph) -> GraphModule:
        """The network that NNCF has quantized."""
        network: GraphModule = self._quantized
        return network

    def make_optimizer(self) -> Optimizer:
        """Adam with two groups: kernels and biases, then NNCF's ranges."""
        learning = [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]
        ranges = [p for name, p in learning if name.startswith(_HOOKS)]
        others = [p for name, p in learning if not name.startswith(_HOOKS)]
        return Adam([{"params": others}, {"params": ranges}], betas=(0.9, 0.99))

    def rates(self, step: int) -> list[float]:
        """Of kernels and biases, and of ranges, which stand still in the last part."""
        rate, scale_rate = super().rates(step)
        return [rate * _PLAIN_RATE, scale_rate]

    def learn(self) -> nn.Module:
        """Trains to the end; the module with the averaged weights, for inference."""
        self.run()  # its Graph has the kernels without NNCF's ranges
        return self.network.eval()


class _Traceable(Network):
    """The network with sides that are numbers: NNCF takes those of a tensor for values to round.

    A swish that was written out is one operator again, which NNCF does not round inside of.

    Attributes:
        is_joined: whether it gives several outputs as one tensor; a file has each of its own.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.drop_connect = False
        self.is_joined = True
        self.swishes = swishes(graph)

    def forward(self, x: Tensor) -> Any:
        """As `Network.forward`, or a tuple of the outputs where they are not joined."""
        values = {self.graph.input: x}
        for node in self.graph.nodes:
            if node.name not in self.swishes.values():
                inputs = [values[name] for name in node.inputs if name in values]
                values[node.name] = self.run_node(node, inputs)
        outputs = [values[name] for name in self.graph.outputs]
        return join(outputs) if self.is_joined else tuple(outputs)

    def run_node(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """Computes one node's output from its inputs, NCHW."""
        if isinstance(node, SpatialNode):
            return self._convolve(node, inputs[0])
        if isinstance(node, FullyConnected):
            kernel, bias = self._weights(node)
            return F.linear(inputs[0], kernel, bias)
        if isinstance(node, MaxPool2D):
            return self._pool(node, inputs[0])
        if isinstance(node, Rows):
            return inputs[0].permute(0, 2, 3, 1).reshape(-1, *self.graph.shapes[node.name])
        if node.name in self.swishes:
            return F.silu(inputs[0])
        return super().run_node(node, inputs)

    def _convolve(self, node: SpatialNode, x: Tensor) -> Tensor:
        kernel, bias = self._weights(node)
        height, width = self.graph.shapes[node.inputs[0]][:2]
        (top, bottom), (left, right) = node.pads(height), node.pads(width)
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
        groups = len(kernel) if isinstance(node, DepthwiseConv2D) else 1
        x = F.conv2d(x, kernel, bias, node.stride, (top, left), node.dilation, groups)
        return ACTIVATIONS[node.activation](x)

    def _pool(self, node: MaxPool2D, x: Tensor) -> Tensor:
        height, width = self.graph.shapes[node.inputs[0]][:2]
        (top, bottom), (left, right) = node.pads(height), node.pads(width)
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom), value=-torch.inf), 0, 0
        return F.max_pool2d(x, node.kernel, node.stride, (top, left))

    def _weights(self, node: Node) -> tuple[Any, Any]:
        layer: Any = self.layers[node.name]
        return layer.kernel, layer.bias


def _quantize(
    graph: Graph, calibration: Iterable[NDArray[np.uint8]], preprocessing: Preprocessing
) -> Any:
    """The network with NNCF's fake quantization; full bias correction is not for torch."""
    photos = [
        photo
        for pixels in calibration
        for photo in to_input(pixels, preprocessing, "cpu").contiguous().unsqueeze(1)
    ]
    photos = [photos[k] for k in evenly(len(photos), DEFAULT_SUBSET)]
    if not photos:
        raise UsageError("NNCF needs calibration photos", hint="give `calibration`")
    tool = nncf()
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tool.quantize(
                _Traceable(graph).eval(),
                tool.Dataset(photos),
                preset=tool.QuantizationPreset.MIXED,
                target_device=tool.TargetDevice.ANY,
                subset_size=len(photos),
            )
    except (RuntimeError, ValueError, tool.InternalError, tool.ValidationError) as error:
        raise EdgekitError("NNCF could not quantize the network", cause=str(error)[:500]) from error


def _convert(network: Any, graph: Graph) -> Any:
    """The module as a model, f32 [1, 3, height, width] to f32 [1, classes], with our names."""
    height, width, channels = graph.shapes[graph.input]
    shape = [1, channels, height, width]
    if len(graph.outputs) > 1:
        network.is_joined = False
    try:
        with quiet(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing: NNCF's levels are constants indeed
            model = openvino().convert_model(
                network, example_input=torch.zeros(shape), input=[shape]
            )
    except RuntimeError as error:
        raise EdgekitError(
            "OpenVINO could not convert the model", cause=str(error)[:500]
        ) from error
    model.set_friendly_name(graph.name)
    model.input().set_names({graph.input})
    model.inputs[0].node.set_friendly_name(graph.input)
    for name, output in zip(graph.outputs, model.outputs, strict=True):
        output.set_names({name})
        output.node.set_friendly_name(f"{name}/result")
    return model
