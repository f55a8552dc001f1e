from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.targets import registry
from edgekit.targets.qnn.options import CompilerOptions
from edgekit.targets.qnn.socs import SOCS, find_soc


def test_a_chip_is_found_by_its_name_in_any_case():
    assert (find_soc("sm8750").model, find_soc("SM8750").arch) == (69, 79)
    assert CompilerOptions(soc="qcs6490").chip is SOCS["QCS6490"]


def test_no_two_chips_have_one_number():
    assert len({soc.model for soc in SOCS.values()}) == len(SOCS)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"soc": "SM8560"}, "unknown chip 'SM8560'"),
        ({"min_mapped": 101.0}, "--min-mapped 101 is not in 0 to 100"),
        ({"timeout_s": 0}, "--timeout 0 is less than 1 second"),
    ],
)
def test_a_value_out_of_range_is_named(given, says):
    with pytest.raises(UsageError, match=says):
        CompilerOptions(**given)


def test_a_build_gives_them_as_text():
    (target,) = registry.find_all(["qnn"], ["qnn.soc=SM8550", "qnn.min-mapped=99.5"])
    assert target.options == CompilerOptions(soc="SM8550", min_mapped=99.5)
