from __future__ import annotations

import numpy as np
import pytest
from tiny_tflite import TinyModel, edit, float_io, schema, with_op

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.edgetpu import status
from edgekit.targets.edgetpu.operators import KNOWN, LIMITS, UNMAPPED, not_seen
from edgekit.targets.edgetpu.rules import unmapped

RELU6 = schema.ActivationFunctionType.RELU6
MAP = [1, 4, 4, 6]
POOL = {"options": "Pool2DOptions", "fusedActivationFunction": RELU6}
JOIN = {"options": "ConcatenationOptions", "fusedActivationFunction": RELU6}
PAD_BATCH = [[[1, 0], [0, 0], [0, 0], [0, 0]]]
STRIDES = [[0], [4], [2]]
ELLIPSIS = {"options": "StridedSliceOptions", "ellipsisMask": 1, "constants": [[0], [4], [1]]}
HALVES = {"halfPixelCenters": True}
CORNERS = {"options": "ResizeBilinearOptions", "alignCorners": True}
HALF_PIXEL = {"options": "ResizeNearestNeighborOptions", "halfPixelCenters": True}


def reasons(tiny: TinyModel) -> dict:
    return unmapped(tflite_file.parse(tiny.pack()))


def unseen(tiny: TinyModel) -> dict[int, str]:
    """What is said of operators that count as mapped though nothing shows it."""
    model = tflite_file.parse(tiny.pack())
    found = {op.index: not_seen(model, op) for op in model.operators}
    return {index: text for index, text in found.items() if text}


def shape(name: str, sizes: list[int]):
    return lambda tiny: setattr(tiny.tensor(name), "shape", sizes)


def dilate(name: str):
    return lambda tiny: setattr(tiny.op(name).builtinOptions, "dilationWFactor", 2)


def narrow(name: str, weights: str):
    """A kernel of three columns and one row, dilated along the row."""

    def change(tiny: TinyModel) -> None:
        dilate(name)(tiny)
        tensor = tiny.tensor(weights)
        outer, _, columns, inner = tensor.shape
        tensor.shape = [outer, 1, columns, inner]
        tiny.model.buffers[tensor.buffer].data = np.ones(outer * columns * inner, np.uint8)

    return change


def shuffled(tiny: TinyModel) -> None:
    tiny.op("FULLY_CONNECTED").builtinOptions.weightsFormat = 1


def per_channel_head(tiny: TinyModel) -> None:
    for name in ("head_w", "head_b"):
        tiny.tensor(name).quantization.scale = [0.1, 0.2, 0.3, 0.4, 0.5]
        tiny.tensor(name).quantization.zeroPoint = [0] * 5


def changing_weights(tiny: TinyModel) -> None:
    tiny.tensor("stem_w").buffer = 0


def bare_scale(tiny: TinyModel) -> None:
    tiny.tensor("depth").quantization = None


def resize(kind: str, source: list[int], to: list[int], **fields) -> TinyModel:
    return with_op(f"RESIZE_{kind}", [1, *source, 8], [1, *to, 8], constants=[to], **fields)


def transposed(sizes: list[int]) -> TinyModel:
    one, height, width, channels = sizes
    return with_op("TRANSPOSE", sizes, [one, channels, height, width], constants=[[0, 3, 1, 2]])


@pytest.mark.parametrize(
    ("tiny", "index", "words", "says"),
    [
        (with_op("HARD_SWISH", MAP, MAP), 8, status.UNSUPPORTED, "no such operator"),
        (with_op("LEAKY_RELU", MAP, MAP), 8, status.UNSUPPORTED, "no such operator"),
        (float_io(), 0, status.LIMITATION, "'image' is float32"),
        (float_io(), 7, status.DATA_TYPE, "'scores' is float32"),
        (edit(bare_scale), 3, status.DATA_TYPE, "'depth' is not quantized"),
        (with_op("RELU", [2, 4, 4, 3], [2, 4, 4, 3]), 8, status.RANK, "3 innermost"),
        (edit(changing_weights), 1, status.NOT_CONSTANT, "'stem_w' is computed"),
        (edit(dilate("CONV_2D")), 1, status.LIMITATION, "dilation is 1 x 2"),
        (edit(dilate("DEPTHWISE_CONV_2D")), 2, status.LIMITATION, "dilation is 1 x 2"),
        (edit(shuffled), 6, status.LIMITATION, "default format"),
        (edit(shape("logits", [5, 1])), 6, status.LIMITATION, "not one-dimensional"),
        (with_op("AVERAGE_POOL_2D", MAP, MAP, **POOL), 8, status.LIMITATION, "RELU6"),
        (with_op("MAX_POOL_2D", MAP, MAP, **POOL), 8, status.LIMITATION, "fused activation"),
        (with_op("CONCATENATION", MAP, MAP, repeat=2, **JOIN), 8, status.LIMITATION, "fused"),
        (
            with_op("CONCATENATION", [4], [8], constants=[np.ones(4, np.int8)]),
            8,
            status.LIMITATION,
            "not zero",
        ),
        (
            with_op("CONCATENATION", [4], [12], repeat=2, constants=[np.zeros(4, np.int8)]),
            8,
            status.LIMITATION,
            "with 2 tensors",
        ),
        (with_op("MEAN", MAP, MAP, constants=[[0]]), 8, status.LIMITATION, "over the batch"),
        (with_op("SUM", MAP, MAP, constants=[[0]]), 8, status.LIMITATION, "over the batch"),
        (with_op("REDUCE_MAX", MAP, MAP, constants=[[-4]]), 8, status.LIMITATION, "the batch"),
        (with_op("MEAN", MAP, MAP, constants=[[3]]), 8, status.LIMITATION, "6 channels"),
        (
            with_op("MEAN", [1, 256, 128, 3], [1, 3], constants=[[1, 2]]),
            8,
            status.LIMITATION,
            "256 x 128 = 32,768 positions; 32,768 were left out (google-coral/edgetpu issue 461)",
        ),
        (with_op("PACK", [4], [1, 4], "PackOptions"), 8, status.LIMITATION, "packs"),
        (with_op("PAD", MAP, [1, 4, 4, 8], constants=PAD_BATCH), 8, status.LIMITATION, "the batch"),
        (
            with_op("PRELU", MAP, MAP, constants=[np.ones((4, 4, 6), np.int8)]),
            8,
            status.LIMITATION,
            "alpha",
        ),
        (with_op("SQUEEZE", [5, 1, 10], [5, 10]), 8, status.LIMITATION, "squeezes"),
        (with_op("STRIDED_SLICE", [4], [2], constants=STRIDES), 8, status.LIMITATION, "strides"),
        (with_op("STRIDED_SLICE", [4], [4], **ELLIPSIS), 8, status.LIMITATION, "ellipsis"),
        (transposed([1, 40, 40, 84]), 8, status.LIMITATION, "= 134,400 elements by [0, 3, 1, 2]"),
        (transposed([1, 40, 40, 144]), 8, status.LIMITATION, "log efficientnet_b0_channels_first"),
        (with_op("TRANSPOSE", MAP, MAP), 8, status.LIMITATION, "not constant"),
        (
            resize("BILINEAR", [1, 1], [33, 33]),
            8,
            status.LIMITATION,
            "one pixel to 33 x 33 (pair deeplabv3_mnv2_dm05_pascal_quant)",
        ),
        (resize("NEAREST_NEIGHBOR", [1, 1], [8, 8]), 8, status.LIMITATION, "one pixel to 8 x 8"),
        (with_op("ARG_MAX", MAP, [1, 4, 4], constants=[3]), 8, status.DATA_TYPE, "int8 (google"),
        (
            resize("BILINEAR", [256, 256], [512, 512]),
            8,
            status.LIMITATION,
            "512 x 512 = 262,144 positions",
        ),
    ],
)
def test_each_limit_has_its_status_in_the_compilers_words(tiny, index, words, says):
    found = reasons(tiny)[index]
    assert found.status == words
    assert says in str(found)
    assert found.fix
    assert found.evidence


def test_a_pixel_that_is_doubled_comes_with_the_advice_of_its_network():
    (nearest,) = reasons(resize("NEAREST_NEIGHBOR", [1, 1], [2, 2])).values()
    (bilinear,) = reasons(resize("BILINEAR", [1, 1], [2, 2])).values()
    assert "more than 128 px" in nearest.fix
    assert "as edgekit build does" in bilinear.fix


@pytest.mark.parametrize(
    "tiny",
    [
        TinyModel(),
        with_op("MEAN", [1, 4, 4, 8], [1, 4, 4], constants=[[3]]),
        with_op("MEAN", MAP, [1, 6], constants=[[1, 2]]),
        with_op("MEAN", [1, 64, 128, 3], [1, 3], constants=[[1, 2]]),
        with_op("CONCATENATION", [4], [8], constants=[np.zeros(4, np.int8)]),
        with_op("PAD", MAP, [1, 6, 6, 6], constants=[[[0, 0], [1, 1], [1, 1], [0, 0]]]),
        with_op("PRELU", MAP, MAP, constants=[np.ones((1, 1, 6), np.int8)]),
        with_op("SOFTMAX", [1, 1000], [1, 1000]),
        with_op("SOFTMAX", [1, 16384], [1, 16384]),
        with_op("SOFTMAX", [1, 64, 2], [1, 64, 2]),
        with_op("TILE", [1, 1, 1, 16], [1, 9, 9, 16], constants=[[1, 9, 9, 1]]),
        transposed([1, 10, 10, 144]),
        transposed([1, 20, 20, 144]),
        edit(per_channel_head),
        edit(narrow("CONV_2D", "stem_w")),
        edit(narrow("DEPTHWISE_CONV_2D", "depth_w")),
        with_op("SQUEEZE", [1, 5, 10], [5, 10]),
        with_op("STRIDED_SLICE", [4], [4], constants=[[0], [4], [1]]),
        with_op("AVERAGE_POOL_2D", MAP, MAP, "Pool2DOptions"),
        with_op("TRANSPOSE", [1, 1, 4, 6], [1, 4, 1, 6], constants=[[0, 2, 1, 3]]),
        resize("BILINEAR", [128, 128], [256, 256]),
        resize("BILINEAR", [128, 128], [256, 256], **CORNERS),
        resize("BILINEAR", [1, 1], [1, 1]),
        resize("NEAREST_NEIGHBOR", [4, 4], [8, 8], options="ResizeNearestNeighborOptions"),
        resize("NEAREST_NEIGHBOR", [4, 4], [8, 8], **HALF_PIXEL),
    ],
)
def test_what_was_seen_mapped_has_no_reason(tiny):
    assert reasons(tiny) == unseen(tiny) == {}


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (
            with_op("MEAN", [1, 112, 112, 32], [1, 32], constants=[[2, 1]]),
            "it averages 112 x 112 = 12,544 positions; 8,192 were mapped "
            "(google-coral/edgetpu issue 461), 32,768 left out (google-coral/edgetpu issue 461)",
        ),
        (
            transposed([1, 28, 28, 128]),
            "it permutes [1, 28, 28, 128] = 100,352 elements by [0, 3, 1, 2]; 57,600 "
            "were mapped, 134,400 left out (log efficientnet_b0_channels_first_v16.log)",
        ),
        (
            with_op("SOFTMAX", [1, 16385], [1, 16385]),
            "its input has 16,385 elements; 16,384 were mapped (file "
            "ricardodeazambuja/libredgetpu, tracker/templates/bright_128x128.tflite)",
        ),
        (resize("BILINEAR", [8, 8], [32, 32]), "it resizes [8, 8] to [32, 32], by 4; 2"),
        (resize("BILINEAR", [200, 200], [400, 400]), "it resizes to 400 x 400"),
        (
            resize("NEAREST_NEIGHBOR", [256, 256], [512, 512]),
            "it resizes to 512 x 512 = 262,144 positions; 65,536 were mapped",
        ),
        (
            resize("BILINEAR", [4, 4], [8, 8], options="ResizeBilinearOptions", **HALVES),
            "its pixel centres are at halves",
        ),
        (
            with_op("TRANSPOSE_CONV", [1, 8, 8, 4], [1, 16, 16, 4]),
            "the documentation lists it, and users found theirs left out (google-coral/edgetpu "
            "issue 64)",
        ),
        (with_op("DIV", MAP, MAP), "no compiled file or log with DIV is known"),
    ],
)
def test_what_nothing_shows_counts_as_mapped_and_says_so(tiny, says):
    assert reasons(tiny) == {}
    found = unseen(tiny)
    assert list(found) == [8]
    assert found[8].startswith(says)


@pytest.mark.parametrize("name", sorted({*KNOWN, *LIMITS, *UNMAPPED} - {"LSTM"}))
def test_a_damaged_operator_does_not_break_a_limit(name):
    """Without inputs, without outputs, and with tensors of no dimension."""
    tiny = with_op(name, [], [])
    code = len(tiny.model.operatorCodes) - 1
    for inputs, outputs in (([], []), ([], [0]), ([0], [])):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
        tiny.graph.operators.append(operator)
    for reason in reasons(tiny).values():
        assert reason.status in status.MEANINGS


def test_lstm_states_may_be_16_bit():
    tiny = with_op("UNIDIRECTIONAL_SEQUENCE_LSTM", [1, 4, 4], [1, 4, 4])
    tiny.add("state", [1, 4], "INT16", 0.1, 0)
    tiny.graph.operators[-1].inputs.append(tiny.index("state"))
    assert reasons(tiny) == {}


def test_float_operators_of_a_mixed_file_stay_off_the_tpu():
    tiny = TinyModel()
    for name in ("depth", "gate", "gated"):
        tiny.tensor(name).type = schema.TensorType.FLOAT32
    found = reasons(tiny)
    assert sorted(found) == [2, 3, 4, 5]  # those that write or read the three
    assert {reason.status for reason in found.values()} == {status.DATA_TYPE}
