"""Half of the validation photos may decide something."""

from edgekit.pipeline.selection import choosing_half


def test_half_of_the_photos_choose_and_the_seed_says_which():
    chosen = choosing_half(41, 0)
    assert len(set(chosen)) == 21
    assert set(chosen) <= set(range(41))
    assert chosen == sorted(chosen) == choosing_half(41, 0) != choosing_half(41, 1)
