"""An option declares what it takes."""

import dataclasses

import pytest

from edgekit.errors import UsageError
from edgekit.options.build import CHECKED, BuildOptions
from edgekit.options.fields import option_name

FIELDS = {item.name: item for item in dataclasses.fields(BuildOptions)}


@pytest.mark.parametrize("name", [name for name in FIELDS if FIELDS[name].metadata.get("known")])
def test_a_value_that_an_option_does_not_know_is_refused(name):
    several = isinstance(FIELDS[name].default, tuple)
    with pytest.raises(UsageError, match=f"^error: --{option_name(name)} 'nonsense' is not known"):
        BuildOptions.make("b0", **{name: ["nonsense"] if several else "nonsense"})


@pytest.mark.parametrize(
    "name", [name for name in FIELDS if FIELDS[name].metadata.get("least") is not None]
)
def test_a_number_below_the_least_is_refused(name):
    least = FIELDS[name].metadata["least"]
    words = f"be at least {least}" if least else "not be negative"
    others = {"quantize": "qat"} if name.startswith("qat") else {}
    with pytest.raises(UsageError, match=f"--{option_name(name)} must {words}"):
        BuildOptions.make("b0", **{name: least - 1}, **others)
    BuildOptions.make("b0", **{name: least}, **others)


def test_no_number_is_without_end():
    with pytest.raises(UsageError, match="--cache-photos must not be negative"):
        BuildOptions.make("b0", cache_photos=float("inf"))


def test_every_option_is_declared_in_one_group_and_every_group_with_a_check_is_asked():
    groups = BuildOptions.__bases__
    names = [item.name for group in groups for item in dataclasses.fields(group)]
    assert sorted(names) == sorted(FIELDS)
    assert set(CHECKED) == {group for group in groups if hasattr(group, "check")}
