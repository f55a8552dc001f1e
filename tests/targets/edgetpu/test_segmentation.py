"""What the prediction says of networks whose outputs are maps, written as `edgekit build` does."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from map_graphs import aspp, quantized, unet
from tiny_tflite import TinyModel, with_op

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.write import convert
from edgekit.targets.edgetpu import status
from edgekit.targets.edgetpu.log import parse_output
from edgekit.targets.edgetpu.mapping import check_and_predict

NETWORKS = {"unet": unet, "aspp": aspp}


@cache
def model_of(network: str, output: str) -> tflite_file.TFLiteModel:
    return tflite_file.parse(convert(quantized(NETWORKS[network](output)), io="uint8"))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_that_ends_with_logits_is_mapped_whole(network):
    findings, found = check_and_predict(model_of(network, "logits"))
    assert (found.on_cpu, found.not_seen, findings) == (0, [], [])


@pytest.mark.parametrize(
    ("network", "output", "left"),
    [
        ("unet", "classes", ["ARG_MAX"]),
        ("aspp", "classes", ["ARG_MAX"]),
        ("aspp", "classes-fused", ["ARG_MAX", "RESHAPE", "CAST", "RESIZE_NEAREST_NEIGHBOR"]),
    ],
)
def test_what_turns_logits_into_classes_falls_off_the_end(network, output, left):
    findings, found = check_and_predict(model_of(network, output))
    rest = [op for op in found.operators if not op.is_mapped]
    assert [op.name for op in rest] == left
    assert [op.index for op in found.operators if op.is_mapped] == list(range(found.mapped))
    assert {op.status for op in rest} == {status.DATA_TYPE}
    assert "--output logits" in rest[0].fix
    assert "quantize" not in " ".join(op.fix for op in rest)
    assert [f.where for f in findings] == [f"{op.index} {op.name}" for op in rest]


def resized_then_convolved(side: int) -> TinyModel:
    """A bilinear resize of the stem's map, and a sigmoid of it."""
    tiny = TinyModel()
    tiny.add("large", [1, side, side, 8], "INT8", 6 / 255, -128)
    tiny.add("small", [1, side // 2, side // 2, 8], "INT8", 6 / 255, -128)
    tiny.add("size", [2], "INT32", 0, 0)
    tiny.data("size", np.array([side, side], np.int32))
    tiny.add("sure", [1, side, side, 8], "INT8", 1 / 256, -128)
    tiny.add_op("RESIZE_BILINEAR", 2, ["small", "size"], "large", "ResizeBilinearOptions")
    tiny.add_op("LOGISTIC", 2, ["large"], "sure")
    return tiny


def test_what_is_behind_a_resize_that_is_too_large_stays_on_the_cpu_and_is_said_to():
    found = check_and_predict(tflite_file.parse(resized_then_convolved(512).pack()))[1]
    resize, sigmoid = found.operators[-2:]
    assert (resize.status, sigmoid.status) == (status.LIMITATION, status.BEHIND)
    assert "512 x 512" in resize.reason
    assert "logits-small" in resize.fix
    mapped = check_and_predict(tflite_file.parse(resized_then_convolved(256).pack()))[1]
    assert mapped.on_cpu == 0


def findings_of(tiny: TinyModel) -> dict[str, str]:
    findings, _ = check_and_predict(tflite_file.parse(tiny.pack()))
    return {f.rule: f"{f.where}: {f.message}. {f.fix}" for f in findings}


def ending_with(shape: list[int]) -> TinyModel:
    tiny = with_op("LOGISTIC", shape, shape)
    tiny.graph.outputs = [tiny.index("to")]
    tiny.tensor("to").quantization.scale, tiny.tensor("to").quantization.zeroPoint = (
        [1 / 256],
        [-128],
    )
    return tiny


def test_a_large_last_map_is_warned_of_by_its_size():
    said = findings_of(ending_with([1, 512, 512, 151]))["last-map"]
    assert said.startswith("tensor 'to': the logits map has 39.6 MB (512 x 512 x 151, int8)")
    assert "`edgekit build --output classes-fused`" in said
    assert "`edgekit build --output logits-small`" in said


@pytest.mark.parametrize("shape", [[1, 64, 64, 21], [1, 1000], [1, 2048, 2048, 1]])
def test_a_small_map_or_one_of_classes_is_not(shape):
    assert "last-map" not in findings_of(ending_with(shape))


@pytest.mark.parametrize(("side", "slow"), [(361, True), (360, False)])
def test_an_arg_max_over_a_large_map_is_said_to_take_hours(side, slow):
    found = findings_of(with_op("ARG_MAX", [1, side, side, 4], [1, side, side], constants=[3]))
    assert ("arg-max" in found) is slow
    if slow:
        assert "ran for hours" in found["arg-max"]


def test_half_pixel_centres_are_doubted_with_their_remedy():
    found = findings_of(
        with_op(
            "RESIZE_BILINEAR",
            [1, 4, 4, 8],
            [1, 8, 8, 8],
            "ResizeBilinearOptions",
            constants=[[8, 8]],
            halfPixelCenters=True,
        )
    )
    assert list(found) == ["doubt"]
    assert "google-coral/edgetpu issue 187" in found["doubt"]
    assert "align_corners" in found["doubt"]


def test_a_log_of_2020_that_calls_a_resize_imprecise_is_explained():
    """The row of google-coral/edgetpu issue 63."""
    text = (
        "Edge TPU Compiler version 2.0.291256449\nInput: m.tflite\nOutput: m_edgetpu.tflite\n\n"
        "Operator                       Count      Status\n\n"
        "RESIZE_BILINEAR                1          Image-interpolation layer won't run precisely "
        "enough on Edge TPU\n"
    )
    (row,) = parse_output(text).rows
    assert status.MEANINGS[row.status].fix == "compile it with version 16"
