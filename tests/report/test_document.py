"""The rows and the JSON file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit.report import Document, make_row, write_json
from edgekit.report.document import WORST, summarize_ranges
from edgekit.tasks.classification.metrics import kl_divergence, wilson_interval
from edgekit.tasks.classification.task import TASK

LABELS = np.array([0, 1, 2, 3])
REFERENCE = np.eye(4, 7)  # right on every photo
QUANTIZED = np.array(
    [
        [9, 1, 1, 1, 1, 1, 1],
        [9, 8, 1, 1, 1, 1, 1],  # now class 0; class 1 is second
        [1, 1, 9, 1, 1, 1, 1],
        [3, 4, 5, 1, 6, 7, 8],  # class 3 is last
    ],
    np.uint8,
)


def test_make_row() -> None:
    row = make_row(
        TASK, "w8a8-tflite", "LiteRT", QUANTIZED, LABELS, reference=REFERENCE, size_bytes=7
    )
    assert row["n"] == 4
    assert row["top1"] == 0.5
    assert row["top5"] == 0.75
    assert row["top1_ci95"] == list(wilson_interval(2, 4))
    assert row["agreement"] == 0.5
    assert row["kl"] == kl_divergence(REFERENCE, QUANTIZED) > 1
    assert row["drop_pp"] == 50.0
    assert row["drop_se_pp"] == pytest.approx(25.0)  # sqrt((0.5 - 0.25) / 4)
    assert row["size_bytes"] == 7
    assert row["latency_ms"] is None


def test_the_reference_row_agrees_with_itself() -> None:
    row = make_row(TASK, "fp32-torch", "torch", REFERENCE, LABELS)
    assert (row["top1"], row["agreement"], row["kl"]) == (1, 1, 0)
    assert (row["drop_pp"], row["drop_se_pp"]) == (0, 0)


def test_without_a_reference_nothing_is_compared() -> None:
    row = make_row(TASK, "w8a8-tflite", "LiteRT", QUANTIZED, LABELS)
    assert row["agreement"] is row["kl"] is row["drop_pp"] is row["drop_se_pp"] is None


def test_rows_of_nothing_and_of_other_photos() -> None:
    nothing = make_row(TASK, "fp32-torch", "torch", REFERENCE[:0], LABELS[:0])
    assert (nothing["n"], nothing["top1"], nothing["top1_ci95"]) == (0, 0.0, [0.0, 1.0])
    with pytest.raises(UsageError):
        make_row(TASK, "w8a8-tflite", "LiteRT", QUANTIZED, LABELS, reference=REFERENCE[:3])


def test_write_json_round_trips(tmp_path: Path, document: Document) -> None:
    document["model"] = "naïve \udcff"  # a path that is not UTF-8
    assert document["training"]
    document["training"]["history"][0]["train_loss"] = math.nan
    path = tmp_path / "report.json"
    write_json(document, path)
    text = path.read_text(encoding="utf-8")
    assert "NaN" not in text
    loaded = json.loads(text)
    assert loaded["training"]["history"][0]["train_loss"] is None
    assert loaded["rows"] == document["rows"]
    assert loaded["schema_version"] == 1
    assert set(loaded) == set(Document.__annotations__)
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_keeps_the_old_file_when_it_fails(tmp_path: Path, document: Document) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    document["host"]["versions"] = {"x": object()}  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        write_json(document, path)
    assert path.read_text() == "old"
    with pytest.raises(EdgekitError, match="cannot write"):
        write_json({**document, "host": {}}, tmp_path / "no" / "report.json")  # type: ignore[typeddict-item]


def test_the_summary_names_the_worst_tensors_first() -> None:
    def choice(method: str, sqnr_db: float | None) -> dict[str, object]:
        ends = {"low": -1.0, "high": 2.0, "clipped": 0.0}
        return {**ends, "method": method, "why": "", "sqnr_db": sqnr_db}

    tensors = {f"t{i}": choice("mse", 50.0 - i) for i in range(20)}
    summary = summarize_ranges({"image": choice("fixed", None), **tensors})
    assert summary["methods"] == {"mse": 20, "fixed": 1}
    assert [worst["name"] for worst in summary["worst"]] == [f"t{19 - i}" for i in range(WORST)]
    assert summary["worst"][0]["sqnr_db"] == 31.0
