from __future__ import annotations

import pytest

from edgekit.data.normalization import Normalization, parse_normalization
from edgekit.errors import UsageError


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (None, None, None),
        ("127.5", "127.5", Normalization((127.5,) * 3, (127.5,) * 3)),
        ("0", "1", Normalization((0.0,) * 3, (1.0,) * 3)),
        ("0", "255", Normalization((0.0,) * 3, (255.0,) * 3)),
        ("1,2,3", "4", Normalization((1.0, 2.0, 3.0), (4.0,) * 3)),
        (" 1, 2,3", "4,5 ,6", Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))),
    ],
)
def test_one_number_or_three(mean, std, expected):
    assert parse_normalization(mean, std) == expected


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        ("1", None, "belong together"),
        (None, "1", "belong together"),
        ("a", "1", "--mean a is not one number or three"),
        ("1,2", "1", "not one number or three"),
        ("1", "inf", "not one number or three"),
        ("1", "", "not one number or three"),
        ("1", "0", "cannot be divided by"),
        ("1", "1,1,-1", "cannot be divided by"),
    ],
)
def test_what_is_no_normalization(mean, std, says):
    with pytest.raises(UsageError, match=says):
        parse_normalization(mean, std)


def test_numbers_of_0_to_1_are_refused_with_those_of_0_to_255():
    with pytest.raises(UsageError, match="from 0 to 1") as caught:
        parse_normalization("0.485,0.456,0.406", "0.229,0.224,0.225")
    assert caught.value.hint == "--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375"
