from __future__ import annotations

import numpy as np
import places
import pytest
from foreign_files import FOREIGN
from prerequisites import needs
from tiny_tflite import TinyModel, float_io, schema

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.scheme import count_schemes, scheme, scheme_in_words

CASES = places.SHARED / "cases/schemes"


def parsed(tiny: TinyModel) -> tflite_file.TFLiteModel:
    return tflite_file.parse(tiny.pack())


@pytest.mark.parametrize(
    ("file", "name", "weights", "words"),
    [
        ("aeq_weight_only_wi8_afp32", "w8-weight-only", {"w8-weight-only": 5}, "become float"),
        (
            "aeq_dynamic_wi4b32_afp32",
            "w4-dynamic-blocks32",
            {"fp32": 3, "w4-dynamic-blocks32": 2},
            "int4 weights, float activations that each run quantizes; a scale for each block of 32",
        ),
        ("tf_16x8", "w8a16-static", {"w8a16-static": 5}, "int8 weights, int16 activations"),
    ],
)
def test_schemes_of_other_converters(file, name, weights, words):
    model = tflite_file.read(FOREIGN / f"{file}.tflite")
    assert (scheme(model), count_schemes(model)) == (name, weights)
    assert words in scheme_in_words(name)


@needs("shared", CASES.is_dir())
def test_a_file_is_named_by_what_it_holds_and_not_by_its_name():
    same = [tflite_file.read(CASES / name) for name in _FLOATS]
    assert [scheme(model) for model in same] == ["fp32", "fp32"]
    constants = [[t.data.tobytes() for t in model.tensors if t.is_constant] for model in same]
    assert constants[0] == constants[1]  # this recipe has left every weight as it was


_FLOATS = ("float.tflite", "aeq_dynamic_wi8b32_afp32.tflite")


def weights_only(weights: str = "INT8", dequantize: bool = True, blocks: int = 0) -> TinyModel:
    """The tiny model with float activations; its weights stay small, with or without DEQUANTIZE."""
    tiny = TinyModel()
    for tensor in tiny.graph.tensors:
        is_weights = tensor.name.endswith(b"_w")
        if is_weights or tensor.type == schema.TensorType.INT32:
            continue
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    for name in ("stem_w", "depth_w", "head_w"):
        tensor = tiny.tensor(name)
        tensor.type = getattr(schema.TensorType, weights)
        if blocks:
            details = schema.BlockwiseQuantizationT()
            details.scales, details.blockSize = tiny.index("mean"), blocks
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
            tensor.quantization.details = details
        if dequantize:
            tiny.add(f"{name}_f", list(tensor.shape), "FLOAT32", 0, 0)
            tiny.add_op("DEQUANTIZE", 2, [name], f"{name}_f", "DequantizeOptions")
            for operator in tiny.graph.operators[:-1]:
                places = [
                    tiny.index(f"{name}_f") if i == tiny.index(name) else i for i in operator.inputs
                ]
                operator.inputs = places
    return tiny


@pytest.mark.parametrize(
    ("tiny", "name"),
    [
        (weights_only(), "w8-weight-only"),
        (weights_only("FLOAT16"), "fp16"),
        (weights_only("FLOAT16", dequantize=False), "fp16"),
        (weights_only("INT4"), "w4-weight-only"),
        (weights_only("INT8", dequantize=False), "w8-dynamic"),
        (weights_only("INT4", dequantize=False), "w4-dynamic"),
        (weights_only("INT8", dequantize=False, blocks=8), "w8-dynamic-blocks8"),
        (weights_only("INT4", blocks=32), "w4-weight-only-blocks32"),
        (weights_only("FLOAT32", dequantize=False), "fp32"),
        (float_io(), "w8a8-static"),
    ],
)
def test_weights_and_their_scales_decide(tiny, name):
    assert scheme(parsed(tiny)) == name


def with_a_large_float(tiny: TinyModel, count: int) -> TinyModel:
    tiny.add("large_w", None, "FLOAT32", 0, 0, np.ones((5, count), np.float32))
    tiny.add("wide", [1, count], "FLOAT32", 0, 0)
    tiny.add("more", [1, 5], "FLOAT32", 0, 0)
    tiny.add_op("FULLY_CONNECTED", 1, ["wide", "large_w"], "more", "FullyConnectedOptions")
    return tiny


def test_a_small_float_rest_does_not_change_the_word_and_a_large_one_does():
    small = with_a_large_float(weights_only(), 100)  # 500 weights: what converters leave alone
    large = with_a_large_float(weights_only(), 1000)
    assert (scheme(parsed(small)), scheme(parsed(large))) == ("w8-weight-only", "mixed")


def test_two_widths_are_mixed():
    tiny = weights_only("INT8", dequantize=False)
    tiny.tensor("head_w").type = schema.TensorType.INT4
    assert scheme(parsed(tiny)) == "mixed"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("w8a8-static", "int8 weights, int8 activations"),
        ("w8a8-static-uint8", "uint8 weights and activations, in the scheme before int8"),
        ("fp32", "float32 weights"),
        ("fp16", "float16 weights"),
        ("mixed", "operators differ in their types"),
        ("unknown", "unknown"),
        ("other", "other"),
    ],
)
def test_words(name, words):
    assert scheme_in_words(name) == words
