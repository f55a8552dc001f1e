"""What the compiler of onnxruntime-qnn 2.7.0 wrote of a narrow Lite0.

In that file Flatten stood between QuantizeLinear and DequantizeLinear.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.targets.qnn.trace import CompiledFor, read_chip, read_trace

TRACE = json.loads((Path(__file__).parent / "recorded" / "trace.json").read_text("utf-8"))


def test_what_is_mapped_and_what_is_left_is_read():
    mapping = read_trace(TRACE, "a compiler")
    assert mapping.mapped == TRACE["summary"]["total_qnn_ops"] == 26
    assert [str(one) for one in mapping.on_cpu] == ["Flatten 'pool/flat'", "Gemm 'logits/raw'"]
    assert {one.why for one in mapping.on_cpu} == {"Failed to add node."}
    assert mapping.counts == {"graphs": 1}


def test_a_list_of_another_form_is_an_error():
    with pytest.raises(EdgekitError, match="cannot be read"):
        read_trace({"subgraph_traces": [{}]}, "a compiler")


def test_the_chip_is_read_from_a_context_binary():
    context = b"\0a=1;soc_type=SM8650;arch=75;num_nsps=1;l2tcm_kb=0;vtcm_size=8388608;02r=0;\0"
    assert read_chip(context) == CompiledFor("SM8650", 75, 8 * 2**20)
    assert read_chip(b"something else") is None
