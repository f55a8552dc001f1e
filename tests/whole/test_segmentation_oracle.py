"""Another library's segmentation networks, with its weights, through every file format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from map_formats import TFLITE, in_onnx, in_openvino, in_tflite, in_torch
from map_graphs import MEAN, STD, quantized
from places import SHARED
from prerequisites import needs

from edgekit.converters.tflite.write import convert
from edgekit.converters.weights.load import load_weights
from edgekit.data.masks.shapes import MaskedShapes
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.passes import prepare
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.parity.compare import compare_subject
from edgekit.parity.executions import Subject

ORACLE = SHARED / "oracle" / "segmentation"
NETWORKS = {
    "unet_tu-lite0-w050": ("unet-lite0", UNet()),
    "unet_b0-w050": ("unet-b0", UNet()),
    "deeplabv3plus_tu-lite0-w050_os16": ("deeplab-lite0", DeepLab(64)),
    "deeplabv3plus_timm-lite0-w050_os16": ("deeplab-lite0", DeepLab(48, rates=(2, 4, 6))),
}

pytestmark = needs("shared", ORACLE.exists())


@pytest.fixture(scope="module", params=NETWORKS)
def graph(request):
    model, decoder = NETWORKS[request.param]
    spec = scale_spec(replace(find_spec(model), decoder=decoder), width=0.5)
    loaded = load_weights(ORACLE / f"{request.param}.safetensors", spec, resolution=96)
    return prepare(loaded.graph)


def check_near(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 5e-5 * np.abs(expected).max()
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.999


@pytest.mark.parametrize("kernels", TFLITE)
def test_a_float_tflite_file_answers_as_torch(graph, kernels):
    check_near(in_tflite(graph, kernels), in_torch(graph))


@needs("onnx")
def test_an_onnx_file_answers_as_torch(graph):
    check_near(in_onnx(graph), in_torch(graph))


@needs("openvino")
def test_an_openvino_file_answers_as_torch(graph):
    check_near(in_openvino(graph), in_torch(graph))


def test_every_operator_of_an_int8_file_answers_as_the_simulation(graph, tmp_path):
    int8, path = quantized(graph), tmp_path / "int8.tflite"
    path.write_bytes(convert(int8, io="int8"))
    record = Preprocessing(96, (MEAN,) * 3, (STD,) * 3, (), task="segmentation")
    photos = MaskedShapes(2, 0, "val", 96)
    found = compare_subject(
        Subject(path, record, photos, "shapes", quantized=int8), 2, lambda *_: None
    )
    assert not found["differences"]
    assert all(operator["ok"] for operator in found["operators"])
    assert len(found["operators"]) >= len(int8.nodes)
