from __future__ import annotations

import pytest
from npu_files import flatten_on_integers, without_rounding_behind_gemm, write

from edgekit.converters.onnx import file as onnx_file
from edgekit.targets.qnn.rules import findings


def found(path):
    return [(one.rule, one.where) for one in findings(onnx_file.read(path))]


@pytest.mark.parametrize("name", ["b0", "lite0"])
@pytest.mark.parametrize("io", ["float32", "uint8"])
def test_our_files_break_none(tmp_path, name, io):
    assert found(write(tmp_path, name, io)) == []


def test_an_operator_on_integers_is_found(tmp_path):
    path = flatten_on_integers(write(tmp_path, "lite0"))
    assert found(path) == [("between-pairs", "Flatten 'pool/flat'")]


def test_an_operator_that_nothing_rounds_is_found(tmp_path):
    path = without_rounding_behind_gemm(write(tmp_path, "lite0"))
    assert found(path) == [("not-rounded", "Gemm 'logits/raw'")]


def test_a_shape_that_the_run_decides_is_refused(tmp_path):
    (one,) = findings(onnx_file.read(write(tmp_path, "lite0", batch=None)))
    assert (one.severity, one.rule) == ("error", "fixed-size")
