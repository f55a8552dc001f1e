"""Answers of stringcase 1.2.0 itself."""

import pytest

from edgekit.targets.imx500.pythonpath.stringcase import camelcase, snakecase


@pytest.mark.parametrize(
    ("text", "camel", "snake"),
    [
        ("data_format", "dataFormat", "data_format"),
        ("DataFormat", "dataFormat", "data_format"),
        ("num-bits.x", "nuit", "num_bits_x"),
        ("", "", ""),
    ],
)
def test_names(text, camel, snake):
    assert camelcase(text) == camel
    assert snakecase(text) == snake
