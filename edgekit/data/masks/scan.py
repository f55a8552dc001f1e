"""Reads each photo and its mask once, and says what of them can be used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from edgekit.data.images import Stored, UnreadableImageError, check
from edgekit.data.masks.pairs import BAD_LIMIT, SHOWN, Pair, Pairs
from edgekit.data.masks.photos import MaskedPhotos, MaskFile
from edgekit.data.masks.reading import MaskError, MaskFormat, decode_mask
from edgekit.data.photo_files import Progress, reason_of
from edgekit.data.placement import IGNORED
from edgekit.data.scan import read_each
from edgekit.errors import UsageError


@dataclass(frozen=True)
class ScannedPair:
    """What reading a photo and its mask once gave.

    Attributes:
        pair: the files.
        sha256: of the photo, in hex.
        mask: the mask as a file that was read; None where the pair cannot be used.
        classes: the class indices in the mask, but for 255.
        problem: why the pair cannot be used.
        is_ambiguous: whether the photo is stored turned and the mask's size does not say of it.
    """

    pair: Pair
    sha256: str = ""
    mask: MaskFile | None = None
    classes: frozenset[int] = frozenset()
    problem: str = ""
    is_ambiguous: bool = False


@dataclass(frozen=True)
class ScannedPairs:
    """The pairs of a split that can be used, and the others.

    Attributes:
        usable: those with a mask that has a class somewhere.
        unreadable: (name, reason) of those that cannot be used.
        warnings: what was left out and decided, a sentence each.
    """

    usable: tuple[ScannedPair, ...]
    unreadable: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]

    def photos(self, form: MaskFormat) -> MaskedPhotos:
        """Returns them as a set."""
        return MaskedPhotos(
            places=tuple(one.pair.photo for one in self.usable),
            names=tuple(one.pair.name for one in self.usable),
            labels=np.full(len(self.usable), -1, np.int64),
            hashes=tuple(one.sha256 for one in self.usable),
            masks=tuple(one.mask for one in self.usable if one.mask is not None),
            form=form,
        )


def scan_pairs(
    pairs: Pairs, form: MaskFormat, option: str, progress: Progress | None = None
) -> ScannedPairs:
    """Reads and decodes each photo and mask once, in threads.

    Args:
        pairs: the files.
        form: what the values of the masks mean.
        option: how the user named the data set, for messages.
        progress: called with ('scan', done, total).

    Raises:
        UsageError: a mask holds something other than classes, or too many pairs cannot be used.
    """
    found = read_each(partial(_scan_pair, form=form), pairs.pairs, progress)
    bad = [(one.pair.name, one.problem) for one in found if one.problem]
    if len(bad) > BAD_LIMIT * len(found):
        named = "; ".join(f"{name}: {problem}" for name, problem in bad[:SHOWN])
        raise UsageError(
            f"{len(bad)} of the {len(found)} photos with masks of {option} {pairs.source} cannot "
            f"be used, more than {BAD_LIMIT:.0%}",
            cause=named + ("; …" if len(bad) > SHOWN else ""),
            hint="repair or remove them",
        )
    sound = [one for one in found if not one.problem]
    usable = tuple(one for one in sound if one.classes)
    warnings = list(pairs.warnings)
    if bad:
        named = "; ".join(f"{name}: {problem}" for name, problem in bad[:SHOWN])
        warnings.append(f"{len(bad)} photos with masks cannot be used and are left out: {named}")
    if empty := [one.pair.name for one in sound if not one.classes]:
        named = ", ".join(empty[:SHOWN])
        warnings.append(f"{len(empty)} masks have no class anywhere and are left out: {named}")
    if turned := sum(one.is_ambiguous for one in usable):
        warnings.append(
            f"{turned} photos are stored turned, and the sizes of their masks do not say whether "
            "these are, too: they are taken to be upright"
        )
    _check_two_values(usable, option, pairs)
    return ScannedPairs(usable, tuple(bad), tuple(warnings))


def _scan_pair(pair: Pair, form: MaskFormat) -> ScannedPair:
    try:
        data = pair.photo.read_bytes()
        stored = check(data)
    except (OSError, UnreadableImageError) as error:
        return ScannedPair(pair, problem=reason_of(error))
    try:
        mask_data = pair.mask.read_bytes()
        mask = decode_mask(mask_data, form)
    except (OSError, UnreadableImageError) as error:
        return ScannedPair(pair, problem=f"its mask {pair.mask.name}: {reason_of(error)}")
    except MaskError as error:
        raise UsageError(
            f"the mask {pair.mask} cannot be used", cause=error.reason, hint=error.hint
        ) from error
    turn, problem = _turn(mask.size, stored)
    if problem:
        return ScannedPair(pair, problem=problem)
    counts = np.bincount(np.asarray(mask).ravel(), minlength=256)
    return ScannedPair(
        pair,
        sha256=hashlib.sha256(data).hexdigest(),
        mask=MaskFile(pair.mask, hashlib.sha256(mask_data).hexdigest(), turn),
        classes=frozenset(np.flatnonzero(counts[:IGNORED]).tolist()),
        is_ambiguous=stored.turn is not None and turn is None and stored.size == stored.upright,
    )


def _turn(mask: tuple[int, int], stored: Stored) -> tuple[Image.Transpose | None, str]:
    """What turns a mask of this size upright, and what is wrong with its size.

    Masks have no EXIF orientation: they are of the photo as people see it, or as it is stored.
    """
    if mask == stored.upright:
        return None, ""
    if mask == stored.size:
        return stored.turn, ""
    (width, height), (across, down) = stored.upright, mask
    return None, f"it has {width} x {height} pixels, its mask {across} x {down}"


def _check_two_values(usable: Sequence[ScannedPair], option: str, pairs: Pairs) -> None:
    """Raises UsageError where masks are of 0 and 255 alone: a shape in white on black."""
    if {0} == frozenset().union(*(one.classes for one in usable)):
        raise UsageError(
            f"the masks of {option} {pairs.source} have one class only: 0",
            cause="a value of 255 is taken for no class, and there is no other",
            hint="put a classes.txt into the folder that has the lines '0: background' and "
            "'255: object'",
        )
