"""The boxes that a detector's outputs are relative to.

Source: google/automl, ``efficientdet/tf2/anchors.py``; the figures of each variant are its
checkpoints' (`edgekit.networks.detection`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the variants' table has anchors, and is read before anything is computed
    import numpy as np
    from numpy.typing import NDArray

#: Widths and heights over the side of a square of the same area: as in checkpoints until 2020-09
#: (D0 to D7x), and in all of effdet's; and since then (Lite).
OLD_RATIOS = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
ROOT_RATIOS = ((1.0, 1.0), (math.sqrt(2), math.sqrt(0.5)), (math.sqrt(0.5), math.sqrt(2)))


@dataclass(frozen=True)
class Anchors:
    """At each place of each level a box for each octave and ratio.

    Attributes:
        scale: side of the smallest square over the level's stride.
        ratios: (width, height) of each shape over the side of the square.
        octaves: sizes between a level and the next: ``2 ** (k / octaves)``.
        levels: how often the input was halved, the finest first, without a gap.
    """

    scale: float = 4.0
    ratios: tuple[tuple[float, float], ...] = OLD_RATIOS
    octaves: int = 3
    levels: tuple[int, ...] = (3, 4, 5, 6, 7)

    @property
    def per_place(self) -> int:
        """Boxes at one place of a level."""
        return self.octaves * len(self.ratios)

    def sizes(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each level, for an input of this size in pixels."""
        found = [(height, width)]
        for _ in range(self.levels[-1]):
            height, width = (height - 1) // 2 + 1, (width - 1) // 2 + 1
            found.append((height, width))
        return tuple(found[level] for level in self.levels)

    def count(self, height: int, width: int) -> int:
        """Boxes in an input of this size."""
        return self.per_place * sum(rows * columns for rows, columns in self.sizes(height, width))

    def of_square(self, count: int) -> NDArray[np.float32]:
        """The boxes in a square input that has so many, in fractions of its sides.

        They depend on the levels' sizes alone, which no two numbers of boxes share.

        Returns:
            float32 [count, 4], as `boxes`.

        Raises:
            ValueError: no square has so many.
        """
        side = 2 ** self.levels[0]
        while (found := self.count(side, side)) < count:
            side += 2 ** self.levels[0]
        if found != count:
            raise ValueError(f"no square has {count} boxes of {self}")
        import numpy as np

        fractions: NDArray[np.float32] = self.boxes(side, side) / np.float32(side)
        return fractions

    def boxes(self, height: int, width: int) -> NDArray[np.float32]:
        """The boxes in an input of this size.

        Returns:
            float32 [anchors, 4]: top, left, bottom, right in pixels of the input; by level, row,
            column, octave and ratio.
        """
        import numpy as np

        found = []
        for rows, columns in self.sizes(height, width):
            down, across = height / rows, width / columns
            halves = np.array(
                [
                    (high * 2 ** (k / self.octaves) / 2, wide * 2 ** (k / self.octaves) / 2)
                    for k in range(self.octaves)
                    for wide, high in self.ratios
                ]
            ) * (self.scale * np.array([down, across]))
            y = (np.arange(rows) + 0.5) * down
            x = (np.arange(columns) + 0.5) * across
            centers = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 1, 2)
            found.append(np.concatenate([centers - halves, centers + halves], -1).reshape(-1, 4))
        return np.concatenate(found).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, of which `from_dict` makes equal anchors."""
        record = asdict(self)
        return record | {"ratios": [list(r) for r in self.ratios], "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Anchors:
        """Reads what `to_dict` gave.

        Raises:
            KeyError, TypeError or ValueError: it is no such record.
        """
        fields = dict(**record)
        fields["ratios"] = tuple((float(w), float(h)) for w, h in fields["ratios"])
        fields["levels"] = tuple(int(level) for level in fields["levels"])
        return cls(**fields)
