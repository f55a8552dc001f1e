"""Folders that tests read: of the project, and of the development data beside it."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
#: Photos, weights and compiled files; absent in a plain clone.
SHARED = ROOT.parent / "shared"
BENCHMARKS = ROOT / "benchmarks"
