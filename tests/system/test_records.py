"""JSON of others: what is taken, what is refused, and where it says that it is wrong."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

import pytest
from msgspec import Struct, ValidationError

from edgekit.errors import UsageError
from edgekit.system.records import decode_record, load_record


class Row(Struct):
    """An element of a list."""

    id: int
    value: float = 0.0


@dataclass(frozen=True)
class Table:
    """A dataclass of ours."""

    rows: tuple[Row, ...]
    by_number: dict[int, str]


TEXT = '{"rows": [{"id": 1, "value": 2, "more": [null]}], "by_number": {"3": "x"}}'
TABLE = Table((Row(1, 2.0),), {3: "x"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_fields_that_nobody_asked_for_are_left_out(encoding):
    assert decode_record(TEXT.encode(encoding), Table) == TABLE


def test_what_python_writes_is_read():
    found = decode_record(json.dumps({"id": 1, "value": math.nan, "more": math.inf}), Row)
    assert math.isnan(found.value)
    text = TEXT.replace('"value": 2', '"value": -Infinity')
    assert decode_record(text, Table).rows[0].value == -math.inf


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (TEXT.replace('"id": 1', '"id": "1"'), "got `str` - at `$.rows[0].id`"),
        (TEXT.replace('"id": 1', '"id": true'), "got `bool` - at `$.rows[0].id`"),
        (TEXT.replace('"id": 1, "value": 2', '"value": NaN'), "field `id` - at `$.rows[0]`"),
        ("[]", "Expected `object`, got `array`"),
    ],
)
def test_the_place_of_a_wrong_field_is_named(text, place):
    with pytest.raises(ValidationError) as caught:
        decode_record(text, Table)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b'{"rows": [],\n "by_number" {}}', "Expecting ':' delimiter: line 2 column 14"),
        (b"", "Expecting value: line 1 column 1"),
        (b'{"rows": [], "by_number": {"1": "\xff"}}', "can't decode byte 0xff"),
        (b'{"more": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_json_is_a_value_error(data, cause):
    with pytest.raises(ValueError, match=re.escape(cause)):
        decode_record(data, Table)


def test_a_file_that_cannot_be_used_has_three_parts(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(UsageError, match=r"cannot read .*a\.json") as caught:
        load_record(path, Table, "is no table", "make one")
    assert (caught.value.cause, caught.value.hint) == ("No such file or directory", "make one")
    path.write_text(TEXT.replace("1", "1.5"))
    with pytest.raises(UsageError, match=r"a\.json is no table") as caught:
        load_record(path, Table, "is no table", "make one")
    assert caught.value.cause == "Expected `int`, got `float` - at `$.rows[0].id`"
    path.write_text(TEXT)
    assert load_record(path, Table, "is no table") == TABLE
