from __future__ import annotations

import pytest
from tiny_tflite import TinyModel

from edgekit.errors import UsageError
from edgekit.targets.tflite import TFLiteTarget


def test_a_good_file_has_no_findings_and_nothing_to_compile(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    target = TFLiteTarget()
    assert target.check(path) == []
    assert target.compile(path, tmp_path) is None
    assert list(tmp_path.iterdir()) == [path]


def test_a_bad_file_has_findings(tmp_path):
    tiny = TinyModel()
    tiny.tensor("gate").quantization.scale = [1 / 255]
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny.pack())
    assert [f.rule for f in TFLiteTarget().check(path)] == ["fixed-scale"]


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_text("nothing")
    with pytest.raises(UsageError, match="not a TFLite model"):
        TFLiteTarget().check(path)
