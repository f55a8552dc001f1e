"""What the user names as photos, as the folders, lists and shards that are read for each set.

A data set on a hub is received first (`edgekit.data.hub.fetch`), and is a folder from then on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.data.class_names import clean_labels, with_canonical_labels
from edgekit.data.folders import list_photos
from edgekit.data.hub.fetch import describe_source, local_source
from edgekit.data.photo_files import Listing, Progress, Source
from edgekit.data.shards.listing import find_shards, list_shards
from edgekit.data.shards.names import PIPE
from edgekit.data.split_folders import (
    SPLITS,
    SplitFolders,
    find_split_folders,
    has_splits_in_classes,
    inner_folder,
    role_of,
)
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

DATA, VAL, CALIBRATION = "--data", "--val", "--calibration"


@dataclass(frozen=True)
class Chosen:
    """The photos of one set.

    Attributes:
        given: a folder, a list or shards.
        also_in: where the relative paths of a list are looked up, too.
        notes: what was decided about it, a sentence each.
        named: what the user named, where that is no path.
    """

    given: Source
    also_in: Path | None = None
    notes: tuple[str, ...] = ()
    named: str = ""


def find_sources(
    data: Source | None,
    val: Source | None,
    calibration: Source | None,
    progress: Progress | None = None,
) -> dict[str, Chosen]:
    """Returns what is read for each option; nothing for the built-in dataset.

    Of a folder that holds splits, each set takes its own, and the validation set is found in
    ``data`` where ``val`` is None. Data sets on a hub are received.

    Raises:
        UsageError: ``data`` is missing, or the roles of its splits are ambiguous.
        EdgekitError: a data set on a hub cannot be received.
    """
    options = {DATA: data, VAL: val, CALIBRATION: calibration}
    given = {option: source for option, source in options.items() if source is not None}
    if not given:
        return {}
    local = {
        option: local_source(source, option, progress) if data is not None else source
        for option, source in given.items()
    }
    found = _find_local(local)
    for option, one in found.items():
        # The validation photos may be those of a split of --data.
        said = describe_source(given.get(option, given[DATA]), option) if data else None
        if said is not None:
            notes = (*one.notes, said[1]) if option in given else one.notes
            found[option] = replace(one, named=said[0], notes=notes)
    return found


def _find_local(given: Mapping[str, Source]) -> dict[str, Chosen]:
    """The same of folders, lists and shards."""
    data, val, calibration = (given.get(option) for option in (DATA, VAL, CALIBRATION))
    if data is None:
        option, source = next(iter(given.items()))
        raise UsageError(
            f"{option} {source} was given without --data",
            hint="give the training photos too; the built-in dataset brings its own sets",
        )
    also_in = Path(data) if os.path.isdir(data) else Path(data).parent
    found = {option: Chosen(source, also_in) for option, source in given.items()}
    found[DATA] = Chosen(data)
    try:
        if _is_folder_of_photos(data):
            found |= _divided(Path(data), found)
        if val is not None and _is_folder_of_photos(val):
            part = _part(_unwrapped(Path(val), found[DATA].given), VAL)
            found[VAL] = replace(found[VAL], given=part)
        if calibration is not None and _is_folder_of_photos(calibration):
            found[CALIBRATION] = replace(
                found[CALIBRATION], given=_part(Path(calibration), CALIBRATION)
            )
    except OSError as error:
        raise UsageError(
            f"the photos cannot be read: {error.filename}", cause=str(error)
        ) from error
    return found


def list_source(
    source: Source,
    option: str,
    *,
    also_in: StrPath | None = None,
    classes: bool = True,
    spool: StrPath | None = None,
    progress: Progress | None = None,
) -> Listing:
    """Lists the photos of a folder, a list or shards; see `list_photos` and `find_shards`.

    Raises:
        UsageError: there are none, or a class has a name that cannot be used.
    """
    source = local_source(source, option, progress)
    shards = find_shards(source, option, spool, progress)
    listing: Listing
    if shards is not None:
        listing = list_shards(shards, source, option, classes=classes, progress=progress)
    else:
        listing = list_photos(Path(source), option, also_in=also_in, classes=classes)
    if not classes:
        return with_canonical_labels(listing)
    listing = clean_labels(listing, option)
    if shards is None and os.path.isdir(source):
        return listing
    return replace(listing, warnings=(*listing.warnings, *_mixed_splits(listing)))


def list_to_measure(source: Source, option: str = DATA, *, classes: bool = True) -> Listing:
    """Lists the photos of a folder or a list on which a finished model is measured.

    Args:
        source: the folder or list.
        option: how the user named it, for messages.
        classes: whether each must have a class.

    Raises:
        UsageError: as `list_source`.
    """
    source = local_source(source, option)
    try:
        folder = _is_folder_of_photos(source)
        part = _part(Path(source), VAL, option) if folder else source
    except OSError as error:
        raise UsageError(f"{option} {source} cannot be read", cause=str(error)) from error
    except UsageError as error:  # whose advice is for those who train
        hint = "name the one of its folders whose photos it shall answer"
        raise UsageError(error.message, cause=error.cause, hint=hint) from error
    return with_canonical_labels(list_photos(Path(part), option, classes=classes))


def _is_folder_of_photos(source: Source) -> bool:
    # Unlike `Path.is_dir`, it takes any text: a command, or braces with a hundred names.
    return not os.fspath(source).startswith(PIPE) and os.path.isdir(source)


def _divided(root: Path, found: Mapping[str, Chosen]) -> dict[str, Chosen]:
    """The sources of a folder that holds class folders or splits."""
    inner = inner_folder(root)
    notes = [f"all that {root} holds is in {inner}"] if inner != root else []
    splits = find_split_folders(inner, DATA)
    if splits is None:
        within = has_splits_in_classes(inner)
        if within:
            names = ", ".join(within)
            notes.append(f"each class folder of {inner} holds {names}: their photos are used alike")
        return {DATA: Chosen(inner, notes=tuple(notes))}
    sources = {DATA: Chosen(splits.train.path, notes=(*notes, *splits.notes))}
    named = found.get(VAL)
    if named is None and splits.val is not None:
        sources[VAL] = Chosen(splits.val.path, root)
    elif named is not None:
        note = f"{inner} holds splits: {splits.train.name} is for training, and --val is as given"
        sources[DATA] = Chosen(splits.train.path, notes=(*notes, note))
    more = tuple(_left_out(splits, named))
    sources[DATA] = replace(sources[DATA], notes=(*sources[DATA].notes, *more))
    return sources


def _unwrapped(val: Path, data: Source) -> Path:
    """Where the classes of validation photos are: in the only folder, unless that is a class."""
    inner = inner_folder(val)
    wrapper = inner.relative_to(val).parts[:1]
    if not wrapper or not os.path.isdir(data) or (Path(data) / wrapper[0]).is_dir():
        return val
    return inner


def _left_out(splits: SplitFolders, val: Chosen | None) -> Iterator[str]:
    """Yields what is said of the folders that no set takes."""
    unused = splits.left_out
    if val is not None and splits.val is not None:
        unused = (splits.val, *unused)
    for folder in unused:
        if val is not None and Path(val.given).resolve() == folder.path.resolve():
            continue
        if folder.classes & splits.train.classes:
            yield f"{folder.path} is left out; --val {folder.path} would measure on it"
        elif folder.is_flat and folder.role not in SPLITS:
            yield (
                f"{folder.path} is left out, as it has no class folders: --unlabelled with "
                "--recipe noisy-student learns from such photos"
            )
        elif len(folder.classes) < 2:
            yield f"{folder.path} is left out, as it has no class folders"
        else:
            yield f"{folder.path} is left out, as it has none of the classes"


def _part(root: Path, wanted: str, option: str | None = None) -> Path:
    """The split of a folder that suits an option; the folder itself where it holds none."""
    try:
        splits = find_split_folders(root, option or wanted)
    except UsageError:
        if wanted == CALIBRATION:  # which needs no classes
            return root
        raise
    if splits is None:
        return root
    return splits.train.path if wanted == CALIBRATION else (splits.val or splits.train).path


def _mixed_splits(listing: Listing) -> Iterator[str]:
    """Yields a note where the folders above the classes of a list or a tar are splits."""
    found = listing.labels_by_upper_folder()
    labels = {folder: each for folder, each in found.items() if role_of(folder) in SPLITS}
    if len(labels) > 1 and set.intersection(*labels.values()):
        yield (
            f"{listing.source} has photos of {' and '.join(sorted(labels))}, which are used alike: "
            "give each split to an option of its own"
        )
