"""benchmarks/variants.py: a table of what is published of variants, and what our files cost."""

import json

import places
import pytest

from edgekit.system.text import NOTHING


@pytest.fixture(scope="module")
def variants():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(places.BENCHMARKS)
        import variants

        yield variants


def test_the_published_figures_are_of_the_own_resolution_and_of_pure_int8(variants):
    lite4 = variants.published("lite4")
    assert (lite4["fp32_top1"], lite4["int8_top1"], lite4["int8_drop"]) == (80.65, 80.2, 0.6)


def test_a_variant_without_published_int8_has_a_line(variants):
    assert variants.published("b2")["int8_top1"] is None
    assert variants.published("b4")["int8_of"] == "QAT, NVIDIA PyTorch and TensorRT"


def test_the_table_has_a_row_for_each_variant(variants):
    row = variants.Row(
        model="b2", resolution=260, **variants.published("b2"), parameters=9_109_994,
        macs=1_000_000_000, int8_bytes=10_500_000, int8_ms=20.04, int8_ratio=2.0, fp32_ms=40.0,
        fp32_ratio=2.5,
    )  # fmt: skip
    lines = list(variants.table([row]))
    assert lines[-1] == (
        f"| `b2` | 260 | 80.1 | {NOTHING} | {NOTHING} | 9.1 | 1,000 | 10,500 | 20.0 | 2.00 "
        f"| 40.0 | 2.50 | {NOTHING} |"
    )
    assert {line.count("|") for line in lines} == {14}


@pytest.mark.slow  # whole networks
def test_two_variants_are_measured_beside_each_other(variants, tmp_path, capsys):
    path = tmp_path / "variants.json"
    given = ["--models", "lite0", "es", "--resolution", "32", "--rounds", "2", "--seconds", "0.02"]
    assert variants.main([*given, "--json", str(path)]) == 0
    first, second = json.loads(path.read_text())["rows"]
    assert first["int8_ratio"] == pytest.approx(1, rel=0.3)  # the file beside itself
    assert first["fp32_ratio"] == pytest.approx(1, rel=0.3)
    assert second["int8_ratio"] > 1.2  # full convolutions
    assert second["int8_bytes"] > first["int8_bytes"] > 4_000_000
    assert "| `es` | 32 |" in capsys.readouterr().out
