from __future__ import annotations

import numpy as np
import pytest
from narrow import narrow

from edgekit.converters.tflite.checks import check_int8
from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.untrained import write_untrained
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.edgetpu.passes import pool_globally


@pytest.mark.parametrize("name", ["b0", "lite0", "es", "v2-b0", "v2-s"])
def test_the_file_keeps_the_scheme_and_runs(name, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_untrained(narrow(name), 64, classes=7))
    assert check_int8(parse(path.read_bytes())) == []
    model = LiteRT(path)
    photo = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    assert model.run(photo).shape == (1, 7)


def test_the_same_network_is_the_same_file():
    assert write_untrained(narrow("b0"), 32) == write_untrained(narrow("b0"), 32)


def test_no_bias_is_zero_as_a_compiler_may_leave_those_out():
    model = parse(write_untrained(narrow("lite0"), 32, classes=5))
    biases = [t for t in model.tensors if t.dtype == "int32" and t.is_constant and t.scales]
    assert biases
    assert all(np.any(tensor.values()) for tensor in biases)


def test_a_target_rewrites_the_network_first():
    model = parse(write_untrained(narrow("lite0"), 32, rewrite=pool_globally))
    assert "AVERAGE_POOL_2D" in {op.name for op in model.operators}


def test_it_is_as_large_as_a_trained_one():
    """The demo's trained B0 at 64 px has 4.88 MB with its labels and metadata."""
    contents = write_untrained(SPECS["b0"], 64, classes=10)
    assert len(contents) == pytest.approx(4_878_705, rel=0.01)
