from __future__ import annotations

import pytest
from foreign_files import FOREIGN
from tiny_tflite import TinyModel

from edgekit.errors import UsageError
from edgekit.targets.tflite import TFLiteTarget


def test_a_good_file_has_no_findings_and_nothing_to_compile(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    target = TFLiteTarget()
    assert target.examine(path).findings == ()
    assert target.compile(target.examine(path), tmp_path) is None
    assert list(tmp_path.iterdir()) == [path]


def test_a_bad_file_has_findings(tmp_path):
    tiny = TinyModel()
    tiny.tensor("gate").quantization.scale = [1 / 255]
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny.pack())
    assert [f.rule for f in TFLiteTarget().examine(path).findings] == ["fixed-scale"]


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_text("nothing")
    with pytest.raises(UsageError, match="not a TFLite model"):
        TFLiteTarget().examine(path)


@pytest.mark.parametrize(
    ("name", "says", "fix"),
    [
        ("tf_16x8", "it is w8a16-static, not w8a8-static: int8 weights, int16", "runs as it is"),
        ("aeq_weight_only_wi8_afp32", "it is w8-weight-only", "representative dataset"),
        ("aeq_dynamic_wi4b32_afp32", "it is w4-dynamic-blocks32", "representative dataset"),
    ],
)
def test_another_scheme_is_one_finding_with_what_to_do(name, says, fix):
    first, *others = TFLiteTarget().examine(FOREIGN / f"{name}.tflite").findings
    assert (first.severity, first.rule) == ("error", "scheme")
    assert says in first.message
    assert fix in first.fix
    assert {finding.rule for finding in others} <= {"op-version"}
