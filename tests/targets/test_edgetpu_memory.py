from __future__ import annotations

import pytest
from tiny_tflite import TinyModel

from edgekit.converters import tflite_file
from edgekit.targets.edgetpu_memory import CACHE_BYTES, Memory, cached, estimate_memory


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
    stem, depthwise, axes, head = 8 * 27 + 32, 9 * 8 + 32, 8, 5 * 8 + 20
    assert found.parameter_bytes == found.on_chip_bytes == stem + depthwise + axes + head
    assert found.streamed_bytes == 0
    assert found.fits
    assert found.largest_activation_bytes == 2 * 8 * 8 * 3  # the first QUANTIZE
    assert estimate_memory(model, model.operators[1:2]).parameter_bytes == stem


def test_streaming_costs_at_least_the_time_on_the_bus():
    found = Memory(CACHE_BYTES + 4_500_000, CACHE_BYTES, 4_500_000, 0)
    times = found.streaming_ms()
    assert times["usb3"] == pytest.approx(10)
    assert times["usb2"] > times["pcie"] > times["usb3"]
    assert found.to_dict()["streaming_ms_at_least"] == times
