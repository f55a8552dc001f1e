from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.system.sizes import parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("524288", 524288),
        ("512K", 524288),
        ("512 KiB", 524288),
        ("1m", 1 << 20),
        ("1.5M", 3 << 19),
        ("2G", 2 << 30),
        (" 4096B ", 4096),
    ],
)
def test_sizes_are_read_as_data_sheets_write_them(text, count):
    assert parse_bytes("--sram", text) == count


@pytest.mark.parametrize("text", ["", "M", "-1K", "0", "1Q", "1e6", "9999999999999", "1 2", "K1"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is no size"):
        parse_bytes("--sram", text)
