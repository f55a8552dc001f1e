"""The page of a run's report: all fields have a meaning, and reports have them and no others.

Reports of other tasks and with more options are compared with it in tests/whole.
"""

from __future__ import annotations

import json

import pytest
from places import ROOT
from report_page import OPTIONAL, check_page, page_fields, report_fields

import edgekit
from edgekit.tasks.registry import task_names


def test_every_field_has_a_meaning_and_the_page_a_place_for_them():
    rows = [row for _, found in report_fields().sections() for row in found]
    assert not [row.path for row in rows if not row.about]
    assert len(rows) > 200
    page = (ROOT / "docs/report.md").read_text("utf-8")
    assert page.count(report_fields().MARK) == 1


def test_what_is_optional_is_on_the_page():
    shown = set.union(*map(page_fields, task_names()))
    assert not [prefix for prefix in OPTIONAL if not any(p.startswith(prefix) for p in shown)]


def test_a_field_that_is_left_out_or_added_is_found():
    report = {"preprocessing": {}, "unheard": 1, "rows": [{"top1": 1.0, "unseen": 2}]}
    with pytest.raises(AssertionError, match=r"not on docs/report.md: \['rows\[\].unseen', 'unh"):
        check_page(report)
    with pytest.raises(AssertionError, match=r"in no report: .*'rows\[\].kl'"):
        check_page({"preprocessing": {}, "rows": [{"top1": 1.0}]})


@pytest.mark.slow
def test_every_field_of_a_segmenter_is_on_the_page(tmp_path):
    edgekit.build(
        "unet-lite0",
        out=tmp_path / "run",
        weights="none",
        resolution=32,
        epochs=1,
        width=0.1,
        depth=0.1,
        calibration_count=16,
        threads=1,
    )
    report = json.loads((tmp_path / "run/report.json").read_text())
    check_page(report, has=("preprocessing.task",))
