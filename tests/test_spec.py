"""The family's tables: block strings, rounding rules, and the names that people write."""

import pytest

from edgekit.errors import UsageError
from edgekit.spec import SPECS, StageSpec, find_spec, round_filters, round_repeats


def test_a_block_string_is_read_whole():
    stage = StageSpec.parse("r2_k5_s2_e6_i24_o40_se0.25")
    assert stage == StageSpec(2, 5, 2, 6, 24, 40, 0.25)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("r2_k5_s2_e6_i24", "lacks out_filters"),
        ("r2_k5_s2_e6_i24_o40_x9", "'x9'"),
        ("r2_r3_k5_s2_e6_i24_o40", "'r3'"),
        ("", "''"),
    ],
)
def test_a_bad_block_string_is_refused(text, reason):
    with pytest.raises(UsageError, match=reason):
        StageSpec.parse(text)


@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    [(32, 1.0, 32), (16, 1.1, 16), (24, 1.1, 24), (40, 1.1, 48), (320, 1.2, 384), (80, 1.4, 112)],
)
def test_filters_are_rounded_to_eight_and_never_below_nine_tenths(filters, width, expected):
    assert round_filters(filters, width) == expected


def test_the_nine_tenths_rule_matters():
    # 12 rounds to 8 when only the nearest multiple counts; 8 is below 0.9 x 12.
    assert round_filters(10, 1.16) == 16


def test_repeats_are_rounded_up():
    assert [round_repeats(n, 1.1) for n in (1, 2, 3, 4)] == [2, 3, 4, 5]


# reference: the published tables of widths and repeats, after scaling
@pytest.mark.parametrize(
    ("name", "stem", "outs", "repeats", "head"),
    [
        ("b0", 32, [16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1], 1280),
        ("b1", 32, [16, 24, 40, 80, 112, 192, 320], [2, 3, 3, 4, 4, 5, 2], 1280),
        ("b2", 32, [16, 24, 48, 88, 120, 208, 352], [2, 3, 3, 4, 4, 5, 2], 1408),
        ("b4", 48, [24, 32, 56, 112, 160, 272, 448], [2, 4, 4, 6, 6, 8, 2], 1792),
        ("b7", 64, [32, 48, 80, 160, 224, 384, 640], [4, 7, 7, 10, 10, 13, 4], 2560),
        ("lite0", 32, [16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1], 1280),
        ("lite3", 32, [24, 32, 48, 96, 136, 232, 384], [1, 3, 3, 5, 5, 6, 1], 1280),
    ],
)
def test_scaled_stages(name, stem, outs, repeats, head):
    spec = SPECS[name]
    stages = spec.scaled_stages()
    assert (spec.stem_filters, spec.head_filters) == (stem, head)
    assert [stage.out_filters for stage in stages] == outs
    assert [stage.repeats for stage in stages] == repeats


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("b0", "b0"),
        ("B0", "b0"),
        ("efficientnet-b0", "b0"),
        ("EfficientNetB1", "b1"),
        ("tf_efficientnet_lite0", "lite0"),
        ("efficientnet-lite4", "lite4"),
        ("lite-0", "lite0"),
    ],
)
def test_names_as_people_write_them(written, name):
    assert find_spec(written) is SPECS[name]


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'b") as caught:
        find_spec("b9")
    assert caught.value.exit_code == 2
