"""The mean and the standard deviation that a user gives for a file that does not state them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath


@dataclass(frozen=True)
class Normalization:
    """What is done to each channel (R, G, B): (pixel - mean) / std, of pixels from 0 to 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def not_stated(path: StrPath) -> UsageError:
    """The error for a file with a float input that does not say how its photos are normalised."""
    return UsageError(
        f"{path} does not say how a photo is normalised",
        cause="its input is float32 and it has no metadata",
        hint="say what it was trained with, of pixels from 0 to 255: "
        "`edgekit run --mean R,G,B --std R,G,B`",
    )


def parse_normalization(mean: str | None, std: str | None) -> Normalization | None:
    """Reads the options ``--mean`` and ``--std``: a number, or one each for R, G and B.

    Returns:
        None where neither is given.

    Raises:
        UsageError: one is missing, no such numbers, or of pixels from 0 to 1.
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise UsageError("--mean and --std belong together", hint="give both")
    found = Normalization(_numbers("--mean", mean), _numbers("--std", std))
    if min(found.std) <= 0:
        raise UsageError(f"--std {std} cannot be divided by", hint="give numbers above 0")
    if max(found.std) < 1 and max(map(abs, found.mean)) <= 1:
        means, stds = (
            ",".join(f"{255 * value:.6g}" for value in values) for values in (found.mean, found.std)
        )
        raise UsageError(
            f"--mean {mean} and --std {std} are for pixels from 0 to 1",
            cause="pixels are counted from 0 to 255 here",
            hint=f"--mean {means} --std {stds}",
        )
    return found


def _numbers(option: str, text: str) -> tuple[float, float, float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        raise UsageError(
            f"{option} {text} is not one number or three", hint=f"{option} 127.5, or R,G,B"
        )
    red, green, blue = values * 3 if len(values) == 1 else values
    return red, green, blue
