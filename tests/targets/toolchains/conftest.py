"""Short names of the fixtures of `wheels`."""

from __future__ import annotations

import pytest


@pytest.fixture
def index(package_index):
    """The index that pip is configured with."""
    return package_index


@pytest.fixture
def wheels(small_wheels):
    """What it serves."""
    return small_wheels
