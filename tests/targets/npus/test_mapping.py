from __future__ import annotations

import pytest

from edgekit.errors import GateError
from edgekit.targets.npus.mapping import NPUMapping, Operator

CONV, GEMM = Operator("Conv", "stem"), Operator("Gemm", "logits", "Failed to add node.")
WHOLE = NPUMapping("a compiler", (CONV,) * 3, (), {"graphs": 1})
PART = NPUMapping("a compiler", (CONV,) * 3, (GEMM,))


def test_the_share_is_of_all_operators():
    assert (WHOLE.share_of_operators, PART.share_of_operators) == (1.0, 0.75)
    assert (WHOLE.mapped, WHOLE.obstacle) == (3, (None, None))


@pytest.mark.parametrize("least", [None, 0, 75])
def test_a_gate_that_is_met_says_nothing(least):
    PART.demand(least)


def test_a_gate_that_is_not_met_names_the_first_operator_on_the_cpu():
    with pytest.raises(GateError, match=r"75\.0 % of the operators are mapped, not 90 %") as caught:
        PART.demand(90)
    assert caught.value.cause == "Gemm 'logits' is on the CPU (Failed to add node)"


def test_what_is_left_is_listed_in_lines_and_json():
    assert "  Gemm                              1  CPU  logits: Failed to add node." in PART.lines(
        every=False
    )
    assert sum("stem" in line for line in PART.lines(every=True)) == 3
    assert PART.to_dict()["operators_on_cpu"] == [
        {"kind": "Gemm", "name": "logits", "why": "Failed to add node."}
    ]
    assert "  graphs: 1" in WHOLE.lines(every=False)
