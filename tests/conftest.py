"""What all tests share; `tests/support`, the helpers, is on the import path (pyproject.toml)."""

import adb_daemon
import pytest
from prerequisites import pytest_terminal_summary, skip_without

__all__ = ["pytest_terminal_summary"]  # a hook

pytest_plugins = ["processes", "wheels"]


@pytest.fixture
def phone(tmp_path):
    """A phone of its own for a test, which leaves nothing on it."""
    if adb_daemon.ADB is None:
        skip_without("adb")
    with adb_daemon.serve(tmp_path / "phone") as found:
        yield found
        assert found.left() == []
