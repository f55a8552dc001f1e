"""Logs of rknn-toolkit2 2.5.0 on a narrow B0, without the lines that nothing is read from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgekit.targets.rknn.log import Message, read_log

RECORDED = Path(__file__).parent / "recorded"


def read(platform):
    return read_log((RECORDED / f"{platform}.txt").read_text("utf-8"), "a compiler")


def test_operators_memory_and_cycles_are_read():
    said = read("rk3588")
    assert (said.mapping.mapped, len(said.mapping.on_cpu)) == (55, 1)
    assert str(said.mapping.on_cpu[0]) == "Reshape 'logits/raw_mm_tp_rs'"
    assert Counter(one.kind for one in said.mapping.on_npu)["ConvExSwish"] > 10
    assert str(said.mapping.on_npu[0]) == "ConvExSwish 'stem/raw'"
    assert said.memory == {"internal": 140 * 1024, "weights": round(79.75 * 1024)}
    assert said.mapping.counts["cycles"] > 10_000


def test_messages_are_read_errors_first_and_each_once():
    first, *others = read("rk3588").messages
    assert first == Message("error", "Unkown op target: 0")
    assert all(one.severity == "warning" for one in others)
    assert len(others) == len(set(others)) >= 5
    assert "is changed from 'float32' to 'int8'" in " ".join(one.text for one in others)


def test_a_table_with_one_column_more_is_read():
    said = read("rk3576")
    assert [str(one) for one in said.mapping.on_npu] == [
        "ConvExSwish 'stem/raw'",
        "Reshape 'logits/raw_mm_tp_rs'",
    ]
    assert said.mapping.counts == {"cycles": 9216}
    assert said.messages == ()


def test_a_log_of_nothing_has_nothing():
    said = read_log("", "a compiler")
    assert (said.mapping.mapped, said.memory, said.messages) == (0, {}, ())
