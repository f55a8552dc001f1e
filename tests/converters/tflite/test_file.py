from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest
from places import SHARED
from prerequisites import needs
from tiny_tflite import TinyModel, schema

from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import UsageError


def test_reads_operators_tensors_and_quantization():
    data = TinyModel().pack()
    model = tflite_file.parse(data)
    assert [(op.name, op.version) for op in model.operators] == [
        ("QUANTIZE", 1),
        ("CONV_2D", 3),
        ("DEPTHWISE_CONV_2D", 3),
        ("LOGISTIC", 2),
        ("MUL", 2),
        ("MEAN", 2),
        ("FULLY_CONNECTED", 4),
        ("QUANTIZE", 2),
    ]
    assert (model.size_bytes, model.subgraphs, model.description) == (len(data), 1, "tiny")
    conv = model.operators[1]
    assert conv.fused_activation == "RELU6"
    assert (conv.options["stride_w"], conv.options["dilation_h_factor"]) == (2, 1)
    weights = model.tensors[conv.inputs[1]]
    assert (weights.name, weights.shape, weights.dtype) == ("stem_w", (8, 3, 3, 3), "int8")
    assert (len(weights.scales), weights.axis, weights.scale) == (8, 0, None)
    assert weights.nbytes == 8 * 27
    assert weights.values().shape == (8, 3, 3, 3)
    image = model.tensors[model.inputs[0]]
    assert (image.dtype, image.scale, image.zero_point) == ("uint8", 1 / 128, 127)
    assert not image.is_constant
    assert model.producer(model.outputs[0]).name == "QUANTIZE"
    assert [op.name for op in model.consumers(image.index)] == ["QUANTIZE"]


def test_bias_values_are_read_as_int32():
    model = tflite_file.parse(TinyModel().pack())
    bias = next(t for t in model.tensors if t.name == "stem_b")
    np.testing.assert_array_equal(bias.values(), np.arange(8, dtype=np.int32))


def test_an_activation_has_no_values():
    model = tflite_file.parse(TinyModel().pack())
    with pytest.raises(UsageError, match="no usable constant"):
        model.tensors[model.inputs[0]].values()


def test_custom_operator_is_named_by_its_code():
    tiny = TinyModel()
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"
    model = tflite_file.parse(tiny.pack())
    assert model.custom_codes == ("edgetpu-custom-op",)
    assert model.operators[3].is_custom


def with_options(**fields) -> TinyModel:
    """The tiny model with a custom operator that has these fields."""
    tiny = TinyModel()
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"
    for name, value in fields.items():
        setattr(tiny.graph.operators[3], name, value)
    return tiny


def test_custom_options_are_a_view_of_the_file():
    content = bytes(range(200))
    data = with_options(customOptions=np.frombuffer(content, np.uint8)).pack()
    operators = tflite_file.parse(data).operators
    assert bytes(operators[3].custom_options) == content
    assert np.shares_memory(operators[3].custom_options, np.frombuffer(data, np.uint8))
    assert [op.index for op in operators if op.custom_options.size] == [3]


def test_a_custom_operator_may_have_no_options():
    assert tflite_file.parse(with_options().pack()).operators[3].custom_options.size == 0


def large(size: int) -> bytes:
    """Options of this size, 100 of them behind the flatbuffer."""
    offset = len(with_options(largeCustomOptionsOffset=2, largeCustomOptionsSize=size).pack())
    tiny = with_options(largeCustomOptionsOffset=offset, largeCustomOptionsSize=size)
    return tiny.pack() + bytes(range(100))


def test_large_custom_options_lie_behind_the_flatbuffer():
    operator = tflite_file.parse(large(100)).operators[3]
    assert bytes(operator.custom_options) == bytes(range(100))


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (large(101), "buffer"),
        (large(2**63), "longer than the file"),
        (with_options(largeCustomOptionsOffset=2**63, largeCustomOptionsSize=1).pack(), ""),
    ],
)
def test_large_custom_options_that_are_not_there(data, cause):
    with pytest.raises(UsageError, match="damaged") as caught:
        tflite_file.parse(data)
    assert cause in caught.value.cause


def test_options_that_overlap_are_stopped():
    content = np.zeros(20_000, np.uint8)
    tiny = with_options(customOptions=content)
    other = with_options(customOptions=content[:100]).graph.operators[3]
    other.opcodeIndex = tiny.graph.operators[3].opcodeIndex
    tiny.graph.operators.append(other)
    data = bytearray(tiny.pack())
    assert len(tflite_file.parse(bytes(data)).operators) == 9
    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    entries = graph._tab.Vector(graph._tab.Offset(10))
    first = graph.Operators(3)._tab.Pos
    assert first > entries + 4 * 8
    struct.pack_into("<I", data, entries + 4 * 8, first - entries - 4 * 8)
    with pytest.raises(UsageError) as caught:
        tflite_file.parse(bytes(data))
    assert "longer than the file" in caught.value.cause


@pytest.mark.parametrize(("dimensions", "read"), [(16, True), (17, False)])
def test_more_dimensions_than_any_kernel_takes_are_refused(dimensions, read):
    tiny = TinyModel()
    tiny.tensor("image").shape = [2**30] * dimensions
    if read:
        assert len(tflite_file.parse(tiny.pack()).tensors[0].shape) == dimensions
    else:
        with pytest.raises(UsageError, match="damaged"):
            tflite_file.parse(tiny.pack())


def test_dynamic_batch_is_seen():
    tiny = TinyModel()
    tiny.tensor("image").shapeSignature = [-1, 8, 8, 3]
    assert not tflite_file.parse(tiny.pack()).tensors[0].is_static


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty"),
        (b"TFL3", "TFL3"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "TFL3"),
        (b"PK\x03\x04" + bytes(100), "TFL3"),
        (b"\x10\x00\x00\x00TFL3", "contradict"),
        (b"\xff\xff\xff\xffTFL3" + bytes(100), "contradict"),
    ],
)
def test_a_foreign_file_is_refused_with_the_cause(tmp_path, content, cause):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        tflite_file.read(path)
    assert str(path) in caught.value.message
    assert cause in caught.value.cause


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        tflite_file.read(tmp_path / "nothing.tflite")
    with pytest.raises(UsageError, match="cannot read"):
        tflite_file.read(tmp_path)


def test_a_truncated_file_is_refused():
    data = TinyModel().pack()
    refused = 0
    for length in range(0, len(data), 61):
        try:
            tflite_file.parse(data[:length])
        except UsageError:
            refused += 1
    assert refused == len(range(0, len(data), 61))


def test_random_damage_never_escapes_as_another_error():
    data = TinyModel().pack()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for position in rng.integers(8, len(data), 4):
            damaged[position] = rng.integers(0, 256)
        try:
            tflite_file.parse(bytes(damaged))
        except UsageError:
            refused += 1
    assert refused > 20


def test_overlapping_lists_are_stopped():
    tiny = TinyModel()
    tiny.tensor("image").quantization.scale = np.ones(3000, np.float32)
    tiny.tensor("image").quantization.zeroPoint = None
    data = bytearray(tiny.pack())
    assert tflite_file.parse(bytes(data)).tensors[0].scales == (1.0,) * 3000
    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    entries = graph._tab.Vector(graph._tab.Offset(4))
    first = graph.Tensors(0)._tab.Pos
    for i in range(graph.TensorsLength()):  # every tensor is now the one with 3000 scales
        at = entries + 4 * i
        struct.pack_into("<I", data, at, first - at)
    with pytest.raises(UsageError) as caught:
        tflite_file.parse(bytes(data))
    assert "longer than the file" in caught.value.cause


def test_reading_imports_no_framework(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    code = (
        "import sys; from edgekit.converters.tflite import file; file.read(sys.argv[1]);"
        "print({m.split('.')[0] for m in sys.modules} & {'torch', 'tensorflow'})"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "set()"


@needs("shared", SHARED.is_dir())
@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("mobilenet_v1_0.25_128_quant", ()),
        ("mobilenet_v1_0.25_128_quant_edgetpu", ("edgetpu-custom-op",)),
        ("posenet_353_481_decoder_edgetpu", ("PosenetDecoderOp", "edgetpu-custom-op")),
    ],
)
def test_real_files(name, codes):
    assert tflite_file.read(SHARED / f"edgetpu/pairs/{name}.tflite").custom_codes == codes
