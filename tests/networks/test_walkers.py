"""Every walker of a Graph takes every kind of node, or says why not: a new kind fails here."""

from edgekit.calibration import equalize, pair_sums, simulate, statistics
from edgekit.converters.onnx import write as onnx
from edgekit.converters.openvino import write as openvino
from edgekit.converters.savedmodel import operators as savedmodel
from edgekit.converters.tflite import op_versions, rows
from edgekit.converters.torch import plan as plain
from edgekit.converters.weights import keras_applications, naming
from edgekit.networks import builder, cost, nodes, passes, quantization, torch_network
from edgekit.parity import integer_kernels

WALKERS = {  # tables by node, or by TFLite operator; why some nodes are not in them
    "torch": (torch_network.EXECUTIONS, {}),
    "torch layers": (torch_network.LAYERS, nodes.WITHOUT_KERNEL),
    "torch layouts": (torch_network.LAYOUTS, nodes.WITHOUT_KERNEL),
    "shapes": (builder.SHAPES, {}),
    "new weights": (builder.KERNELS, nodes.WITHOUT_KERNEL),
    "weights of torch": (naming.TORCH, nodes.WITHOUT_KERNEL),
    "weights of TensorFlow": (naming.TENSORFLOW, nodes.WITHOUT_KERNEL),
    "weights of Keras": (keras_applications.AUTOMATIC, nodes.WITHOUT_KERNEL),
    "cost": (cost.FAN_INS, {}),
    "scales": (quantization.KEEPS_SCALE, nodes.WRITTEN_OUT),
    "simulation": (simulate.ROUNDINGS, nodes.WRITTEN_OUT),
    "means": (statistics.MEANS, nodes.ENDS_TFLITE),
    "equalization": (equalize.PASSAGES, nodes.WRITTEN_OUT | nodes.ENDS_TFLITE),
    "equalized readers": (equalize.READERS, equalize.UNSUPPORTED),
    "pairs of products": (pair_sums.FITS, pair_sums.UNSUPPORTED),
    "TFLite": (rows.OPERATORS, nodes.WRITTEN_OUT),
    "TFLite versions": (op_versions.VERSIONS, nodes.WRITTEN_OUT),
    "integer kernels": (integer_kernels.KERNELS, nodes.WRITTEN_OUT | nodes.ENDS_TFLITE),
    "ONNX": (onnx.OPERATORS, nodes.WRITTEN_OUT | nodes.ENDS_TFLITE),
    "ONNX layouts": (onnx.LAYOUTS, nodes.WITHOUT_KERNEL),
    "plain torch": (plain.OPERATORS, nodes.WRITTEN_OUT | nodes.ENDS_TFLITE),
    "plain torch layouts": (plain.LAYOUTS, nodes.WITHOUT_KERNEL),
    "SavedModel": (savedmodel.OPERATORS, nodes.WRITTEN_OUT | nodes.ENDS_TFLITE),
    "OpenVINO": (openvino.OPERATORS, nodes.WRITTEN_OUT | nodes.ENDS_TFLITE),
}


def test_every_walker_takes_every_node_or_says_why_not():
    for kind in nodes.NODE_TYPES.values():
        op = getattr(rows.OPERATORS.get(kind), "operator", None)
        wrong = [n for n, (t, why) in WALKERS.items() if (kind in why) == (kind in t or op in t)]
        assert not wrong, f"{kind.__name__}: {', '.join(wrong)}"


def test_every_walker_takes_every_activation():
    known = torch_network.ACTIVATIONS.keys()
    assert torch_network.IN_PLACE.keys() == known
    assert statistics.ACTIVATIONS.keys() == known
    assert savedmodel.ACTIVATIONS.keys() == known
    assert plain.ACTIVATIONS.keys() | {"linear"} == known
    assert passes.EXPANSIONS.keys() | passes.FUSED_ACTIVATIONS == known
