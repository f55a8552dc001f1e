from __future__ import annotations

import pytest
from places import SHARED
from prerequisites import needs
from tiny_tflite import TinyModel

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.edgetpu.compiled import describe_compiled
from edgekit.targets.edgetpu.mapping import predict
from edgekit.targets.edgetpu.memory import (
    CACHE_BYTES,
    Kernel,
    Layer,
    Memory,
    cached,
    estimate_memory,
)


def layers(*sizes: int) -> list[Layer]:
    return [Layer(1, size) for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "used"),
    [
        ([], 0),
        ([10, 20, 30], 60),
        ([40, 50, 60], 100),  # the second does not fit, the first still does
        ([101], 0),
        ([1, 100], 100),
    ],
)
def test_layers_are_cached_whole_from_the_last_to_the_first(sizes, used):
    assert cached(layers(*sizes), 100) == used


def test_a_layer_whose_share_of_a_tile_is_too_large_is_streamed_whole():
    assert cached([Layer(1, 30, 11), Layer(1, 40, 10)], 100, tile=10) == 40


@pytest.mark.parametrize(
    ("kernel", "chip", "tile"),
    [
        (Kernel(1, 256, 256, 8), 256 * 264, 64 * 264),  # pair dense_256
        (Kernel(1, 94_400, 1, 4), 16 * 94_404, 64 * 94_404),  # pair tcn_dilated, its head
        (Kernel(3, 8, 8, 12), 16 * 36, 64 * 36),  # the same, a convolution
        (Kernel(49, 1, 8, 4), 16 * 200, 64 * 200),  # pair gabor_64x64_p4
        (Kernel(1, 256, 1001, 4), 1024 * 260, 64 * 260),  # pair mobilenet_v1_0.25, its head
        (Kernel(9, 1, 8, 4, is_depthwise=True), 8 * 40, 64 * 40),  # the same, its first one
        (Kernel(9, 1, 1, 0, is_depthwise=True), 192, 64 * 36),  # pair looming_64x64_3x3
        (Kernel(1, 8, 1025, 0), 1088 * 8, 128 * 8),  # the 17th group of 64 is in a tile again
    ],
)
def test_kernels_lie_in_lines_of_4_inputs_and_up_to_64_outputs(kernel, chip, tile):
    assert (kernel.chip_bytes, kernel.tile_bytes) == (chip, tile)


@pytest.mark.parametrize(
    ("inputs", "outputs", "streamed"),
    [  # of compiled files: bright_64x64 and _128x128 of libredgetpu, and issue 572
        (4_096, 1, False),
        (16_384, 1, True),
        (30_752, 16, True),
        (28_224, 128, True),
        (1_024, 1_024, False),
    ],
)
def test_a_layer_with_many_inputs_is_streamed_whole(inputs, outputs, streamed):
    kernel = Kernel(1, inputs, outputs, 8)
    found = Memory.of([Layer.of(inputs * outputs, kernel)], 0)
    assert found.streamed_bytes == (kernel.chip_bytes if streamed else 0)


def test_parameters_and_activations_of_a_file():
    model = tflite_file.parse(TinyModel().pack())
    found = estimate_memory(model, model.operators)
    stem, depthwise, head = 8 * 27 + 32, 9 * 8 + 32, 5 * 8 + 20
    assert found.file_parameter_bytes == stem + depthwise + head
    # Inputs are padded to 4, outputs to 16; a bias takes 4 bytes, a scale per channel 8 more.
    assert found.parameter_bytes == 16 * (9 * 4 + 12) + 8 * (9 * 4 + 12) + 16 * (8 + 4)
    assert found.on_chip_bytes == found.parameter_bytes
    assert found.streamed_bytes == 0
    assert found.fits
    assert found.largest_activation_bytes == 2 * 8 * 8 * 3  # the first QUANTIZE
    assert estimate_memory(model, model.operators[1:2]).file_parameter_bytes == stem


@needs("shared", SHARED.is_dir())
@pytest.mark.parametrize(
    ("name", "apart"),
    [  # bytes that operators without weights have, of which the estimate knows nothing
        ("deeplabv3_mnv2_dm05_pascal_quant", 0),
        ("dense_256", 0),
        ("gabor_64x64_p4", 0),
        ("keras_lstm_mnist_ptq", 0),
        ("looming_64x64_3x3", 640),
        ("mobilenet_v1_0.25_128_quant", 0),
        ("posenet_353_481_decoder", 0),
        ("split_concat", 192),
        ("tcn_dilated", 0),
    ],
)
def test_the_estimate_is_what_the_real_compiler_made(name, apart):
    found = predict(tflite_file.read(SHARED / f"edgetpu/pairs/{name}.tflite")).memory
    compiled = tflite_file.read(SHARED / f"edgetpu/pairs/{name}_edgetpu.tflite")
    package = describe_compiled(compiled)["packages"][0]
    inside = package["cached_bytes"] + package["streamed_bytes"]
    assert found.parameter_bytes == inside - apart
    if name != "keras_lstm_mnist_ptq":  # it streams 576 bytes of some table
        assert found.streamed_bytes == package["streamed_bytes"]


@needs("shared", SHARED.is_dir())
def test_a_head_that_fits_no_tile_is_streamed():
    path = SHARED / "cases/edgetpu/fully_connected_30752_to_16.tflite"
    found = predict(tflite_file.read(path)).memory
    assert found.streamed_bytes == found.parameter_bytes == 16 * (30_752 + 8)


def test_streaming_costs_at_least_the_time_on_the_bus():
    found = Memory.of(layers(4_500_000, CACHE_BYTES), 0)
    assert (found.on_chip_bytes, found.streamed_bytes) == (CACHE_BYTES, 4_500_000)
    times = found.streaming_ms()
    assert times["usb3"] == pytest.approx(10)
    assert times["usb2"] > times["pcie"] > times["usb3"]
    assert found.to_dict()["streaming_ms_at_least"] == times
