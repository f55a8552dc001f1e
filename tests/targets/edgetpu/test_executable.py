from __future__ import annotations

from dataclasses import replace

import flatbuffers.number_types as n
import numpy as np
import places
import pytest
from edgetpu_packages import (
    CACHING,
    EXECUTION,
    STAND_ALONE,
    compiled,
    executable,
    layer,
    options,
    package,
    usual,
)
from flatbuffers import flexbuffers
from prerequisites import needs
from tiny_tflite import TinyModel

from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import UsageError
from edgekit.targets.edgetpu.compiled import describe_compiled
from edgekit.targets.edgetpu.executable import Layer, read_package
from edgekit.targets.edgetpu.options import CUSTOM_OP

PAIRS = places.SHARED / "edgetpu/pairs"
needs_pairs = needs("shared", PAIRS.is_dir())


def test_a_model_that_does_not_fit():
    found = read_package(usual(cached=600, streamed=48))
    assert (found.min_runtime_version, found.compiler_version) == (13, "cl/343520747")
    assert found.model_identifier == "mine"
    assert (found.cached_bytes, found.streamed_bytes, found.caches) == (600, 48, True)
    assert found.token == 2**63 + 5
    main, caching = found.executables
    assert (main.kind, caching.kind) == ("execution-only", "parameter-caching")
    assert (main.name, main.chip, main.batch) == ("model", "beagle", 1)
    assert (main.parameter_bytes, main.instruction_bytes, main.scratch_bytes) == (48, 60, 40)
    assert main.inputs == (Layer("in", (8, 7, 3), "int8", 192, 127, 0.5),)
    assert [(o.name, o.dtype) for o in main.outputs] == [("out", "uint8"), ("more", "int16")]
    assert (caching.inputs, caching.outputs, caching.scratch_bytes) == ((), (), 0)


@pytest.mark.parametrize(("stated", "read"), [(b"cl/", ""), (b"", ""), (b"cl/7", "cl/7")])
def test_a_prefix_alone_states_no_compiler(stated, read):
    found = read_package(options(package(executable(STAND_ALONE, 70), f4=stated)))
    assert found.compiler_version == read


def test_a_stand_alone_executable_streams_everything():
    found = read_package(options(package(executable(STAND_ALONE, 70))))
    assert (found.cached_bytes, found.streamed_bytes) == (0, 70)
    assert (found.caches, found.token) == (False, 0)


@pytest.mark.parametrize(
    ("fields", "cycles"),
    [
        ({}, None),
        ({"f11": (n.Int32Flags, 900)}, 900),
        ({"f16": (n.Int64Flags, 2**40)}, 2**40),
        ({"f11": (n.Int32Flags, 900), "f16": (n.Int64Flags, 2**40)}, 2**40),
    ],
)
def test_cycles_of_64_bits_come_first(fields, cycles):
    found = read_package(options(package(executable(STAND_ALONE, 1, **fields))))
    assert found.executables[0].estimated_cycles == cycles


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, "u1")])
def test_takes_what_is_like_bytes(kind):
    assert read_package(kind(usual())) == read_package(usual())


@pytest.mark.parametrize("size", [40, 40_000, 70_000])
def test_offsets_of_every_width(size):
    found = read_package(options(package(executable(STAND_ALONE, size))))
    assert found.streamed_bytes == size


SOUND = package(executable(EXECUTION, 1))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"ab", "no map"),
        (bytes(100), "no map"),
        (bytes(flexbuffers.Dumps("text")), "no map"),
        (options(SOUND, key="3"), "no key '4'"),
        (options(7), "no string"),
        (options(b""), "out of the data"),
        (options(package()), "0 executables"),
        (options(package(*[executable(EXECUTION, 1)] * 4)), "4 executables"),
        (options(package(*[executable(EXECUTION, 1)] * 2)), "two executables of a kind"),
        (options(package(executable(7, 1))), "unknown type 7"),
        (options(package(executable(CACHING, 1)[:20])), ""),
        (options(package(b"")), "out of the data"),
        (flexbuffers.Dumps({str(i): i for i in range(17)}), "17 keys"),
    ],
)
def test_what_is_no_package_is_refused(content, says):
    with pytest.raises(UsageError) as refused:
        read_package(content)
    assert refused.value.cause
    assert says in refused.value.cause


def test_every_truncation_is_answered():
    whole = usual()
    for cut in range(len(whole)):
        with pytest.raises(UsageError):
            read_package(whole[:cut])


def test_many_layers_are_read_but_not_one_listed_many_times():
    honest = options(package(executable(STAND_ALONE, 1, f8=[layer() for _ in range(2000)])))
    assert len(read_package(honest).executables[0].inputs) == 2000
    crafted = options(package(executable(STAND_ALONE, 1, f8=[layer()] * 20_000)))
    with pytest.raises(UsageError) as refused:
        read_package(crafted)
    assert "longer than the bytes" in refused.value.cause


def read(name: str):
    model = tflite_file.read(PAIRS / f"{name}_edgetpu.tflite")
    (operator,) = (op for op in model.operators if op.name == CUSTOM_OP)
    return read_package(operator.custom_options)


@needs_pairs
@pytest.mark.parametrize(
    ("name", "runtime", "cached", "streamed", "instructions", "token"),
    [
        ("deeplabv3_mnv2_dm05_pascal_quant", 12, 766720, 0, 168688, 0x36959A24102F7ACD),
        ("keras_lstm_mnist_ptq", 12, 43968, 576, 64016, 0x6CAD28922F0B3DB3),
        ("mobilenet_v1_0.25_128_quant", 12, 566912, 0, 182656, 0x6D146C3F97D6648C),
        ("posenet_353_481_decoder", 12, 1444608, 0, 123184, 0x26254650B218322F),
        ("split_concat", 13, 192, 0, 24880, 0x0F5DAF073FCC3811),
        ("dense_256", 14, 67584, 0, 5296, 0xFCE222D70D502FB8),
        ("gabor_64x64_p4", 14, 3200, 0, 7728, 0xFB47CAC5B08990D8),
        ("looming_64x64_3x3", 14, 1024, 0, 21264, 0xF8334AD491FD50DC),
        ("tcn_dilated", 14, 1536, 1510464, 29088, 0x833B6EF6DA31F03B),
    ],
)
def test_real_packages(name, runtime, cached, streamed, instructions, token):
    found = read(name)
    assert found.compiler_version == ("cl/343520747" if name == "split_concat" else "")
    assert [e.kind for e in found.executables] == ["execution-only", "parameter-caching"]
    assert found.min_runtime_version == runtime
    assert (found.cached_bytes, found.streamed_bytes, found.token) == (cached, streamed, token)
    assert sum(e.instruction_bytes for e in found.executables) == instructions
    assert {e.chip for e in found.executables} == {"beagle"}
    assert {e.token for e in found.executables} == {token}
    assert {e.estimated_cycles for e in found.executables} == {None}


@needs_pairs
@pytest.mark.parametrize("name", ["mobilenet_v1_0.25_128_quant", "keras_lstm_mnist_ptq"])
def test_real_layers_are_the_tensors_of_the_source(name):
    """The unsigned zero point is the source's plus half the range of a signed type."""
    model = tflite_file.read(PAIRS / f"{name}.tflite")
    by_name = {tensor.name: tensor for tensor in model.tensors}
    main = read(name).executables[0]
    layers = [*main.inputs, *main.outputs]
    known = [(end, by_name[end.name]) for end in layers if end.name in by_name]
    assert len(known) >= 2
    for end, tensor in known:
        half = {"uint8": 0, "int8": 128, "int16": 32768}[tensor.dtype]
        assert end.dtype == tensor.dtype
        assert (end.scale, end.zero_point) == (tensor.scale, tensor.zero_point + half)
        assert np.prod(end.shape) == np.prod(tensor.shape)
        assert end.size_bytes >= np.prod(end.shape)


def test_the_description_of_a_compiled_model():
    found = describe_compiled(tflite_file.parse(compiled().pack()))
    assert (found["subgraphs"], found["input_types"]) == (1, ["uint8"])
    assert found["output_types"] == ["uint8"]
    assert [op["index"] for op in found["cpu_operators"]] == [0, 1, 2, 4, 5, 6, 7]
    assert found["cpu_operators"][-1]["name"] == "QUANTIZE"
    (part,) = found["packages"]
    assert (part["index"], part["cached_bytes"], part["streamed_bytes"]) == (3, 600, 48)
    assert (part["instruction_bytes"], part["scratch_bytes"]) == (120, 40)
    assert (part["chip"], part["min_runtime_version"]) == ("beagle", 13)
    assert (part["estimated_cycles"], part["caching_token"]) == (None, "0x8000000000000005")
    assert part["inputs"] == [
        {"name": "in", "shape": [8, 7, 3], "dtype": "int8", "size_bytes": 192}
    ]


def test_what_cannot_be_read_is_said_and_the_rest_is_there():
    found = describe_compiled(tflite_file.parse(compiled(b"nonsense").pack()))
    assert len(found["cpu_operators"]) == 7
    assert found["packages"] == [{"index": 3, "problem": "the custom options are no map"}]


def test_every_part_is_described():
    model = tflite_file.parse(compiled().pack())
    part = model.operators[3]
    twice = replace(model, operators=(*model.operators, replace(part, index=8)))
    found = describe_compiled(twice)
    assert (found["subgraphs"], [p["index"] for p in found["packages"]]) == (2, [3, 8])


def test_a_model_that_is_not_compiled_has_no_description():
    assert describe_compiled(tflite_file.parse(TinyModel().pack())) is None
