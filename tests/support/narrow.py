"""Narrow and shallow variants, for tests in which no size is proved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec


def narrow(name: str, width: float = 0.1, depth: float = 0.1, **changes: Any) -> ModelSpec:
    """A variant with its own operators, in a tenth of its channels; of each stage, one block."""
    return replace(SPECS[name], width=width, depth=depth, **changes)


def make_narrow(
    names: Iterable[str], patch: pytest.MonkeyPatch, resolution: int | None = None
) -> None:
    """Makes variants a fifth as wide and deep under their own names, for whole commands.

    Not less than that: half of their width or a step of compound scaling can still be asked for.
    """
    for name in names:
        small = scale_spec(SPECS[name], width=0.2, depth=0.2)
        resolution = resolution or SPECS[name].resolution
        patch.setitem(SPECS, name, replace(small, name=name, resolution=resolution))
