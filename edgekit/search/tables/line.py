"""A line from sums of blocks to whole networks, and how near it comes to others.

What is between blocks, and what a runtime does for a whole network, is in no block: a line
through a few measured networks takes most of it off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.system.extras import import_optional

#: Above this mean error a sum of blocks is not how the device's time adds up.
MOST_ERROR = 0.1


@dataclass(frozen=True)
class Line:
    """A line; of its own, the one that changes nothing.

    Attributes:
        offset: at 0, in microseconds.
        slope: microseconds for each of the other axis.
    """

    offset: float = 0.0
    slope: float = 1.0

    def at(self, value: float) -> float:
        """What it says for a value."""
        return self.offset + self.slope * value


#: The line of sums that nothing was compared with.
PLAIN = Line()


@dataclass(frozen=True)
class Errors:
    """How near predictions come to what was measured.

    Attributes:
        mape: mean of the absolute errors, as fractions of what was measured.
        bias: mean of the errors.
        kendall_tau: of their order, from -1 to 1.
    """

    mape: float
    bias: float
    kendall_tau: float


@dataclass(frozen=True)
class Check:
    """Of a table, on networks that the line was not fitted to.

    Attributes:
        fitted: networks that it was fitted to.
        n: networks that it is checked on.
        range_us: the fastest and the slowest of these.
        table: errors of the table with its line.
        plain: of the sums alone.
        macs: of a line through the multiply-accumulates of the same networks.
    """

    fitted: int
    n: int
    range_us: tuple[float, float]
    table: Errors
    plain: Errors
    macs: Errors

    @property
    def holds(self) -> bool:
        """Whether the sum of blocks says how long a network takes there."""
        return self.table.mape <= MOST_ERROR


def fit_line(values: Sequence[float], measured: Sequence[float]) -> Line:
    """The line with the least squares of the relative errors.

    Args:
        values: of networks: sums of blocks, or counts.
        measured: microseconds of the same networks.
    """
    y, x = np.asarray(measured, float), np.asarray(values, float)
    scale = x.mean()  # both columns are near 1 then
    columns = np.stack([np.ones_like(x), x / scale], axis=1) / y[:, None]
    (offset, slope), *_ = np.linalg.lstsq(columns, np.ones_like(y), rcond=None)
    return Line(float(offset), float(slope / scale))


def find_errors(predicted: Sequence[float], measured: Sequence[float]) -> Errors:
    """How near predictions come.

    Raises:
        MissingToolError: scipy is not installed.
    """
    stats = import_optional("scipy.stats", "search", "a table's check")
    share = np.asarray(predicted) / np.asarray(measured) - 1
    tau = float(stats.kendalltau(predicted, measured).statistic)
    return Errors(
        float(np.abs(share).mean()), float(share.mean()), tau if np.isfinite(tau) else 0.0
    )
