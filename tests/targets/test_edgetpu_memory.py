from __future__ import annotations

from pathlib import Path

import pytest
from tiny_tflite import TinyModel

from edgekit.converters import tflite_file
from edgekit.targets.edgetpu_mapping import predict
from edgekit.targets.edgetpu_memory import CACHE_BYTES, Memory, cached, estimate_memory

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.mark.parametrize(
    ("layers", "used"),
    [
        ([], 0),
        ([10, 20, 30], 60),
        ([60, 50, 40], 100),  # the second does not fit, the third still does
        ([101], 0),
        ([100, 1], 100),
    ],
)
def test_layers_are_cached_whole_in_the_order_of_execution(layers, used):
    assert cached(layers, 100) == used


def test_parameters_and_activations_of_a_file():
    model = tflite_file.parse(TinyModel().pack())
    found = estimate_memory(model, model.operators)
    stem, depthwise, head = 8 * 27 + 32, 9 * 8 + 32, 5 * 8 + 20
    assert found.file_parameter_bytes == stem + depthwise + head
    # Channels are padded to 16, those of the depthwise kernel to 64, and its 3x3 to 4x4.
    assert found.parameter_bytes == (9 * 16 + 16) * 16 + (2 * 16 + 12) * 64 + (16 + 16) * 16
    assert found.on_chip_bytes == found.parameter_bytes
    assert found.streamed_bytes == 0
    assert found.fits
    assert found.largest_activation_bytes == 2 * 8 * 8 * 3  # the first QUANTIZE
    assert estimate_memory(model, model.operators[1:2]).file_parameter_bytes == stem


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
@pytest.mark.parametrize(
    ("name", "inside"),
    [  # bytes of parameters in the executables of the compiled files
        ("deeplabv3_mnv2_dm05_pascal_quant", 766_720),
        ("mobilenet_v1_0.25_128_quant", 566_912),
        ("posenet_353_481_decoder", 1_444_608),
    ],
)
def test_the_estimate_is_near_what_the_real_compiler_made(name, inside):
    model = tflite_file.read(SHARED / f"edgetpu/pairs/{name}.tflite")
    assert predict(model).memory.parameter_bytes == pytest.approx(inside, rel=0.015)


def test_streaming_costs_at_least_the_time_on_the_bus():
    found = Memory.of([(1, CACHE_BYTES), (1, 4_500_000)], 0)
    assert (found.on_chip_bytes, found.streamed_bytes) == (CACHE_BYTES, 4_500_000)
    times = found.streaming_ms()
    assert times["usb3"] == pytest.approx(10)
    assert times["usb2"] > times["pcie"] > times["usb3"]
    assert found.to_dict()["streaming_ms_at_least"] == times
