"""Photos without classes, for students to learn from with their teacher's labels."""

from __future__ import annotations

from edgekit.data.photo_files import HashedPhotos, Progress
from edgekit.data.scan import check_all, read_listings
from edgekit.data.selection import without
from edgekit.data.sources import list_source
from edgekit.data.splits import Splits, fingerprint
from edgekit.errors import UsageError

OPTION = "--unlabelled"


def load_unlabelled(source: str, splits: Splits, progress: Progress | None = None) -> HashedPhotos:
    """Finds and reads photos whose classes, if any, are not looked at.

    Args:
        source: a folder, a list or shards, as for `edgekit.data.splits.load_splits`.
        splits: of the same run: photos of its validation and training sets are left out.
        progress: called with ('scan', done, total) as files are read.

    Raises:
        UsageError: the photos cannot be used, or none is left.
    """
    listing = list_source(source, OPTION, classes=False, progress=progress)
    every = getattr(splits.train, "checked", True)  # else they are known by their ends alone
    own = read_listings({OPTION: listing}, progress, in_full=every)[OPTION].photo_set(())
    for part in (splits.val, splits.train):
        own = without(own, getattr(part, "hashes", ()))
    own, _ = check_all(own, OPTION, progress)
    if not len(own):
        raise UsageError(
            f"{OPTION} {source} has no photo of its own",
            cause="all of them are training or validation photos",
        )
    return own


def fingerprint_unlabelled(source: str) -> str:
    """Returns a cheap key of all that `load_unlabelled` would read, in hex; nothing is decoded."""
    return fingerprint(source, None, None, classes=False)
