"""What docs/report.md says of the fields of ``report.json``, and a report's own fields."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from places import ROOT

#: Fields that a report has only where something else was asked for; a test of that has them.
OPTIONAL = (
    "chips",
    "devices[].",
    "earlier",
    "preprocessing.anchors",
    "preprocessing.fit",
    "preprocessing.margin_color",
    "preprocessing.task",
    "quantization.inversions[].",
    "quantization.outliers[].",
    "quantization.search.",
    "training.name",
)
#: Tables that are in several places, and the place where the page shows their fields.
SAME = (
    ("chips[].row.", "rows[]."),
    ("earlier[].", "training."),
    ("quantization.qat.", "training."),
)


@cache
def report_fields() -> ModuleType:
    """The script that makes the page's tables, as a module."""
    spec = importlib.util.spec_from_file_location("report_fields", ROOT / "docs/report_fields.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module


def page_fields(task: str) -> set[str]:
    """The paths on the page for a run of a task."""
    found, own = set(), True
    for line in report_fields().tables():
        if line.startswith("### "):
            own = not line.startswith("### Of ") or line == f"### Of {task}"
        if own and (named := re.match(r"\| `([^`]+)` \|", line)):
            found.add(named[1])
    return found


def fields_of(value: Any, path: str = "") -> Iterator[str]:
    """The paths of a report's values, ``[]`` for each item of a list."""
    for other, shown in SAME:
        if path.startswith(other):
            path = shown + path.removeprefix(other)
    if path:
        yield re.sub(r"(\[\])+$", "", path)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from fields_of(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from fields_of(item, f"{path}[]")


def check_page(
    report: Mapping[str, Any], *, has: tuple[str, ...] = (), lacks: tuple[str, ...] = ()
) -> None:
    """Compares a report with the page.

    Args:
        report: what a ``report.json`` holds.
        has: beginnings of `OPTIONAL` fields that this one has.
        lacks: beginnings of others that it does not have.
    """
    named = page_fields(report["preprocessing"].get("task", "classification"))
    found = set(fields_of(report))
    inner = {path: (f"{path}.", f"{path}[].") for path in named}
    free = [inside for inside in inner.values() if not any(p.startswith(inside) for p in named)]
    unknown = {path for path in found - named if not any(path.startswith(i) for i in free)}
    assert not unknown, f"not on docs/report.md: {sorted(unknown)}"
    left = (*lacks, *(prefix for prefix in OPTIONAL if prefix not in has))
    missing = {path for path in named - found if not path.startswith(left)}
    assert not missing, f"on docs/report.md, and in no report: {sorted(missing)}"
