from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.targets import registry
from edgekit.targets.rknn.options import CompilerOptions


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"platform": "rk3599"}, "unknown chip 'rk3599'"),
        ({"optimization_level": 4}, "--optimization-level 4 is not in 0 to 3"),
        ({"min_mapped": -1.0}, "--min-mapped -1 is not in 0 to 100"),
        ({"timeout_s": 0}, "--timeout 0 is less than 1 second"),
    ],
)
def test_a_value_out_of_range_is_named(given, says):
    with pytest.raises(UsageError, match=says):
        CompilerOptions(**given)


def test_a_build_gives_them_as_text():
    settings = ["rknn.platform=RK3566", "rknn.optimization-level=2"]
    (target,) = registry.find_all(["rknn"], settings)
    assert target.options.chip == "rk3566"
    assert target.options.optimization_level == 2
