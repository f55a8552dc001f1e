from __future__ import annotations

import struct

import pytest
from tiny_tflite import TinyModel
from vela_outputs import RECORDED

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.ethosu.compiled import accelerator_of, compiled_lines, describe_compiled


@pytest.mark.parametrize(
    ("name", "npu", "left"),
    [
        ("whole", "ethos-u85-256", "nothing"),
        ("partly", "ethos-u55-128", "0 QUANTIZE, 2 DEQUANTIZE"),
    ],
)
def test_a_compiled_file_says_for_which_npu_it_is(name, npu, left):
    found = describe_compiled(tflite_file.read(RECORDED / f"{name}_vela.tflite"))
    (part,) = found["parts"]
    assert part["accelerator"] == npu
    assert part["constant_bytes"] > 0
    assert part["scratch_bytes"] > 0
    shown = compiled_lines(found)
    assert shown[-1] == f"  on the CPU   {left}"
    assert f"    NPU          {npu}" in shown


def test_another_file_is_not_described():
    assert describe_compiled(tflite_file.parse(TinyModel().pack())) is None


@pytest.mark.parametrize(
    "stream", [b"", b"COP1", b"XXXX" + bytes(16), b"COP1" + struct.pack("<II", 1, 9 << 28)]
)
def test_an_unknown_stream_names_no_npu(stream):
    assert accelerator_of(stream) is None
