"""Block strings, read whole or refused."""

import pytest

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.stages import StageSpec


def test_a_block_string_is_read_whole():
    stage = StageSpec.parse("r2_k5_s2_e6_i24_o40_se0.25")
    assert stage == StageSpec(2, 5, 2, 6, 24, 40, 0.25)


def test_a_whole_number_may_be_written_as_a_fraction():
    assert StageSpec.parse("r2.0_k5_s2_e6.0_i24_o40").expand == 6


def test_flags_are_read():
    stage = StageSpec.parse("r1_k3_s1_e4_i24_o24_c1_noskip")
    assert stage == StageSpec(1, 3, 1, 4, 24, 24, fused=True, skip=False)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("r1_k3_s1_e2.5_i80_o80_cont", StageSpec(1, 3, 1, 2.5, 80, 80, continues=True)),
        ("r2_k3_s2_e1_i64_o128_basic", StageSpec(2, 3, 2, 1, 64, 128, kind="basic")),
        ("r1_k3_s1_e1_i16_o16_nre", StageSpec(1, 3, 1, 1, 16, 16, activation="relu")),
        (
            "r1_k3_s1_e4_i24_o24_se0.25_nhs",
            StageSpec(1, 3, 1, 4, 24, 24, 0.25, False, True, "", "hard-swish"),
        ),
    ],
)
def test_what_other_networks_need_is_read_and_written(text, stage):
    assert StageSpec.parse(text) == stage
    assert str(stage) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("r2_k5_s2_e6_i24_o40_c2", "'c2'"),
        ("r2_k5_s2_e6_i24_o40_c1_c1", "'c1'"),
        ("r2_k5_s2_e6_i24", "lacks out_filters"),
        ("r2_k5_s2_e6_i24_o40_x9", "'x9'"),
        ("r2_r3_k5_s2_e6_i24_o40", "'r3' repeats repeats"),
        ("r1.9_k5_s2_e2.5_i24_o40", "'r1.9': repeats must be a whole number"),
        ("r2_k5_s2_e0_i24_o40", "'e0': expand must be above 0"),
        ("r2_k3_s2_e1_i24_o40_basic_separable", "'separable' repeats kind"),
        ("r2_k3_s2_e1_i24_o40_se0.25_basic", "a basic block has neither c1 nor se"),
        ("r2_k3_s2_e1_i24_o40_nre_nhs", "'nhs' repeats activation"),
        ("r2_k5_s2_e6_i24.5_o40", "'i24.5': in_filters must be a whole number"),
        ("r0_k5_s2_e6_i24_o40", "'r0': repeats must be a whole number from 1 up"),
        ("", "''"),
    ],
)
def test_a_bad_block_string_is_refused(text, reason):
    with pytest.raises(UsageError, match=reason):
        StageSpec.parse(text)
