from __future__ import annotations

import pytest
from npu_files import write

from edgekit.converters.onnx import file as onnx_file
from edgekit.targets.rknn.rules import findings


@pytest.mark.parametrize(
    ("io", "batch", "rules"),
    [
        ("float32", 1, []),
        ("uint8", 1, ["float-nchw"]),
        ("float32", None, ["fixed-size"]),
    ],
)
def test_what_the_compiler_misreads_is_refused(tmp_path, io, batch, rules):
    found = findings(onnx_file.read(write(tmp_path, "lite0", io, batch)))
    assert [(one.severity, one.rule) for one in found] == [("error", rule) for rule in rules]
