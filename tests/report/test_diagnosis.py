"""What the report says about its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.report import Document, Row, diagnose, int8_dot_product, verdict
from edgekit.tasks.classification.task import TASK


def change(document: Document, stage: str, **values: Any) -> list[Row]:
    for row in document["rows"]:
        if row["stage"] == stage:
            row.update(values)  # type: ignore[typeddict-item]
    return document["rows"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "int8 keeps 92.80 % top-1 of fp32's 93.07 %: a drop of 0.27 points, "
            "within the noise of 736 photos.",
        ),
        (
            {"top1": 0.90, "drop_pp": 3.07, "drop_se_pp": 0.6},
            "int8 keeps 90.00 % top-1 of fp32's 93.07 %: a drop of 3.07 points, "
            "more than the noise of 736 photos explains.",
        ),
        (
            {"top1": 0.9321, "drop_pp": -0.14, "drop_se_pp": 0.3},
            "int8 keeps 93.21 % top-1 of fp32's 93.07 %: a gain of 0.14 points, "
            "within the noise of 736 photos.",
        ),
        (
            {"top1": 685 / 736, "drop_pp": 0.0},
            "int8 keeps 93.07 % top-1 of fp32's 93.07 %: no drop on 736 photos.",
        ),
        (
            {"drop_pp": None, "drop_se_pp": None},
            "int8 is right on 92.80 % of 736 photos.",
        ),
    ],
)
def test_verdict(document: Document, changes: dict[str, Any], sentence: str) -> None:
    assert verdict(change(document, "w8a8-tflite", **changes), TASK.metric) == sentence


def test_verdict_without_int8(document: Document) -> None:
    assert verdict(document["rows"][:2], TASK.metric) == (
        "fp32 is right on 93.07 % of 736 photos (95 % interval 91.20 to 94.70 %); "
        "nothing was quantized."
    )
    assert verdict(document["rows"][:1], TASK.metric) == (
        "The trained network is right on 93.07 % of 736 photos (95 % interval 91.20 to 94.70 %)."
    )
    assert verdict([], TASK.metric) == "Nothing was measured."
    document["rows"][-1]["stage"] = "w8-dynamic-tflite"
    assert verdict(document["rows"], TASK.metric).startswith("w8-dynamic keeps")


def test_nothing_is_odd(document: Document) -> None:
    assert diagnose(document["rows"], TASK.metric, int8_dot_product=False) is None
    assert diagnose([], TASK.metric) is None
    assert diagnose(document["rows"][2:], TASK.metric) is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"top1": 684 / 736}, False),  # one photo is rounding
        ({"top1": 683 / 736}, True),
        ({"top1": 687 / 736}, True),
        ({"agreement": 0.995}, False),
        ({"agreement": 0.9949}, True),
        ({"agreement": None}, False),
    ],
)
def test_the_float_control(document: Document, changes: dict[str, Any], found: bool) -> None:
    text = diagnose(change(document, "fp32-tflite", **changes), TASK.metric, int8_dot_product=True)
    assert ("conversion or preprocessing, not quantization" in (text or "")) == found


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (False, "because the host CPU has no int8 dot-product instructions (VNNI or dotprod)"),
        (True, "the runtime's int8 kernels"),
    ],
)
def test_slow_int8(document: Document, known: bool, reason: str) -> None:
    latency = document["rows"][-1]["latency_ms"]
    assert latency
    rows = change(document, "w8a8-tflite", latency_ms={**latency, "median": 14.2})
    text = diagnose(rows, TASK.metric, int8_dot_product=known)
    assert text
    assert "int8 is slower than fp32 on this host (median 14.2 ms against 9.62 ms)" in text
    assert reason in text
    assert diagnose(rows, TASK.metric) is not None  # this machine's own processor is asked
    change(document, "fp32-tflite", top1=0.5)
    both = diagnose(rows, TASK.metric, int8_dot_product=known)
    assert both
    assert len(both.splitlines()) == 2


@pytest.mark.parametrize(
    ("stage", "floating", "reason"),
    [
        ("w8a8-openvino", "fp32-openvino", "the runtime's int8 kernels are at fault"),
        ("w8a8-openvino-nncf", "fp32-openvino", "the runtime's int8 kernels are at fault"),
        ("w8a8-onnx", "fp32-onnx", "of convolutions with uint8 weights"),
    ],
)
def test_slow_int8_of_another_runtime(
    document: Document, stage: str, floating: str, reason: str
) -> None:
    fast = document["rows"][-1]
    assert fast["latency_ms"]
    slow: Any = {**fast, "stage": stage, "latency_ms": {**fast["latency_ms"], "median": 99.0}}
    rows: Any = [*document["rows"], {**fast, "stage": floating}, slow]
    text = diagnose(rows, TASK.metric, int8_dot_product=True)
    assert text
    assert f"{stage} is slower than {floating}" in text
    assert reason in text
    assert diagnose(rows[:-2], TASK.metric, int8_dot_product=True) is None


def test_a_float_file_of_any_runtime_is_a_control(document: Document) -> None:
    wrong: Any = {**document["rows"][1], "stage": "fp32-onnx", "top1": 0.5, "agreement": 0.5}
    text = diagnose([*document["rows"], wrong], TASK.metric)
    assert text
    assert "fp32-onnx differs from fp32-torch" in text


def test_the_verdict_is_on_the_int8_file_of_tflite(document: Document) -> None:
    other: Any = {**document["rows"][-1], "stage": "w8a8-onnx", "drop_pp": 9.0}
    assert verdict([*document["rows"], other], TASK.metric) == verdict(
        document["rows"], TASK.metric
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: x\nflags\t\t: fpu avx2 avx512f\n", False),
        ("flags\t\t: fpu avx2 avx512_vnni\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", True),
        ("Features\t: fp asimd evtstrm\n", False),
        ("Features\t: fp asimd asimddp\n", True),
        ("processor\t: 0\n", None),
    ],
)
def test_int8_dot_product(tmp_path: Path, text: str, expected: bool | None) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert int8_dot_product(cpuinfo) is expected
    assert int8_dot_product(tmp_path / "missing") is None


def test_a_file_is_held_against_the_float_network_with_its_own_end(document: Document) -> None:
    rows = change(document, "fp32-tflite", agreement=0.95)
    assert "fp32-tflite differs from fp32-torch (" in str(diagnose(rows, TASK.metric))
    own: Any = dict(rows[0]) | {"stage": "fp32-torch-classes-fused", "agreement": 0.95}
    assert "differs" not in str(diagnose([rows[0], own, *rows[1:]], TASK.metric))
    own["agreement"] = 1.0
    text = str(diagnose([rows[0], own, *rows[1:]], TASK.metric))
    assert "fp32-tflite differs from fp32-torch-classes-fused (" in text
