"""An open file of weights: its tensors by name, read one at a time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.nodes import Array, Shape
from edgekit.system.paths import StrPath


@dataclass(frozen=True)
class WeightFile:
    """An open file of weights.

    Attributes:
        path: of the file, or the prefix of a checkpoint.
        format: ``safetensors``, ``torch``, ``hdf5``, ``keras`` or ``tf1``.
        shapes: of every tensor, by the file's own name. In a torch checkpoint the keys of the
            dictionaries around a tensor come before its name.
        fetch: reads one tensor as the file has it.
        metadata: what the file says about itself beside the tensors. Of a file of Keras ``config``
            is the configuration of the whole model, where it has one, ``layers`` the groups of
            its layers, where it lists them, and ``numbered`` whether Keras 3 numbered those.
        prefix: what stood before all names.
    """

    path: Path
    format: str
    shapes: Mapping[str, Shape]
    fetch: Callable[[str], Array] = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    prefix: str = ""

    def under(self, prefix: str) -> WeightFile:
        """The same file with those tensors alone whose names begin so, and without that."""
        if not prefix:
            return self
        shapes = {
            name.removeprefix(prefix): shape
            for name, shape in self.shapes.items()
            if name.startswith(prefix)
        }
        fetch = self.fetch
        return replace(self, shapes=shapes, fetch=lambda name: fetch(prefix + name), prefix=prefix)

    def reshaped(self, name: str, shape: Shape) -> WeightFile:
        """The same file with one tensor in another shape of as many numbers."""
        fetch = self.fetch
        return replace(
            self,
            shapes={**self.shapes, name: shape},
            fetch=lambda one: fetch(one).reshape(shape) if one == name else fetch(one),
        )

    def read(self, name: str) -> Array:
        """Reads one tensor, float32.

        Raises:
            UsageError: it is damaged, or holds NaN or infinity.
        """
        with reading(self.path):
            array = np.asarray(self.fetch(name), dtype=np.float32)
        if not np.isfinite(array).all():
            raise UsageError(f"{self.path} holds NaN or infinity", cause=f"in {name}")
        return array


@contextlib.contextmanager
def reading(path: StrPath) -> Iterator[None]:
    """Turns what the readers raise over a damaged file into one error for the user."""
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:  # a damaged file makes its library raise anything at all
        lines = str(error).strip().splitlines()
        raise UsageError(
            f"cannot read the weights file {path}",
            cause=f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__,
            hint="download or copy the file again",
        ) from error


def json_of(text: str | bytes, what: str) -> Any:
    """Reads JSON that stands in or beside a file.

    Raises:
        ValueError: it is not JSON, or no object.
    """
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value
