from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.system.sizes import parse_bytes, parse_count


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


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("200M", 200_000_000),
        ("200m", 200_000_000),
        ("1.5G", 1_500_000_000),
        ("0.3G", 300_000_000),
        (".3G", 300_000_000),
        ("500k", 500_000),
        ("3e8", 300_000_000),
        ("3.5E+8", 350_000_000),
        ("385814752", 385_814_752),
        ("385_814_752", 385_814_752),
        ("385,814,752", 385_814_752),
        (" 200M ", 200_000_000),
    ],
)
def test_counts_are_read_as_people_write_them(text, count):
    assert parse_count("--budget", text) == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M",
        "-200M",
        "200X",
        "200MB",
        "1.5.0G",
        "nan",
        "inf",
        "3e999",
        "9" * 400,
        "0",
        "0.2",
        "2e-3",
    ],
)
def test_other_counts_are_refused(text):
    with pytest.raises(UsageError, match="--budget"):
        parse_count("--budget", text)
