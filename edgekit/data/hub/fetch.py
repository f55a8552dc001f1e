"""Receives a data set once, and lays it out as folders of classes, which all else reads.

What is laid out is kept under its commit, with the hash of every file that it is from; the commit
that a name had at its first use is the one that it has from then on. No program of a data set is
run: only photos, parquet and lists are received.

Environment variables: as for weights, HF_ENDPOINT or EDGEKIT_MIRROR name another server, the latter
also a folder with ``datasets/ORG/NAME``; EDGEKIT_OFFLINE=1 forbids the network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from edgekit.data.hub.layout import DataLayout, find_data_layout
from edgekit.data.hub.metadata import find_classes
from edgekit.data.hub.origin import Origin, find_origin
from edgekit.data.hub.parquet import features_of, read_photos
from edgekit.data.hub.reference import DataReference, find_data_reference
from edgekit.data.hub.tree import Tree, photos_of
from edgekit.data.photo_files import Progress, Source
from edgekit.errors import UsageError
from edgekit.system.download import locked, writing
from edgekit.system.files import cache_folder, read_json, write_json
from edgekit.system.hashing import hash_file
from edgekit.system.hub.server import COMMIT, library
from edgekit.system.threads import ordered_map

CARD = "README.md"
#: What was received, beside the folder of the photos.
MARK = "dataset.json"
_CARD_BYTES = 16 << 20
#: Files that are received at once.
_THREADS = 8


def local_source(source: Source, option: str, progress: Progress | None = None) -> Source:
    """Returns the folder of a data set on a hub, received unless it is in the cache.

    Anything else is returned as it is.

    Args:
        source: what the user named.
        option: how it was named, for messages.
        progress: called with ('fetch', done, total) as files arrive.

    Raises:
        UsageError: there is no such data set or part, or nothing says the classes of its photos.
        MissingToolError: huggingface_hub, or pyarrow for parquet, is not installed.
        EdgekitError: it cannot be received.
    """
    reference = find_data_reference(source, option)
    if reference is None:
        return source
    pinned = _pinned(reference)
    if pinned is not None and (found := _kept(reference, pinned)):
        return found
    with locked(_pin_path(reference)):
        origin = find_origin(reference, pinned)
        if found := _kept(reference, origin.commit):
            _pin(reference, origin.commit)
            return found
        return _lay_out(reference, origin, progress)


def _lay_out(reference: DataReference, origin: Origin, progress: Progress | None) -> Path:
    card = _read_card(origin)
    layout = find_data_layout(reference, origin.names, card)
    paths = _receive(origin, layout, progress)
    target = _folder(reference, origin.commit)
    part = target.with_name(f"{target.name}.part")
    with writing(target.parent):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        tree = Tree(part)
        said = features_of(card, layout.config)
        lists = {name: paths[name] for name in layout.metadata}
        for split, names in layout.splits.items():
            if names[0].endswith(".parquet"):
                for name in names:
                    for photo in read_photos(paths[name], str(reference), reference.label, said):
                        tree.write(split, photo.label, photo.ending, photo.data)
                continue
            classes = find_classes(names, lists, str(reference), reference.label)
            for name, label in classes.items():
                tree.copy(split, label, PurePosixPath(name).suffix, paths[name])
        if not tree.count:
            raise UsageError(f"{reference} holds no photo with a class")
        record = {
            "schema_version": 1,
            "reference": str(reference),
            "commit": origin.commit,
            "url": origin.url,
            "licence": origin.licence or card.get("license"),
            "photos": tree.count,
            "sha256": {name: hash_file(path) for name, path in paths.items()},
        }
        write_json(part / MARK, record)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(part, target)
        _pin(reference, origin.commit)
    found = _kept(reference, origin.commit)
    if found is None:
        raise AssertionError(f"{target} was not laid out")
    return found


def _receive(origin: Origin, layout: DataLayout, progress: Progress | None) -> dict[str, Path]:
    """All files of a layout, several at once."""
    names, paths = layout.files, {}
    received = ordered_map(origin.fetch, names, workers=_THREADS, ahead=4 * _THREADS)
    for name, path in zip(names, received, strict=True):
        paths[name] = path
        if progress is not None:
            progress("fetch", len(paths), len(names))
    return paths


def _read_card(origin: Origin) -> Mapping[str, Any]:
    """The metadata in front of a card; nothing where there is none, or it is damaged."""
    if CARD not in origin.names:
        return {}
    path = origin.fetch(CARD)
    if path.stat().st_size > _CARD_BYTES:
        return {}
    with suppress(Exception):  # a damaged card makes its reader raise anything
        found = library("repocard").metadata_load(path)
        return found if isinstance(found, dict) else {}
    return {}


def _folder(reference: DataReference, commit: str) -> Path:
    """Where a data set is laid out: each part of it has a folder of its own."""
    said = [reference.config or "", reference.split or "", reference.label or ""]
    part = f"-{quote('+'.join(said), '')}" if any(said) else ""
    name = reference.repository.replace("/", "--")
    return cache_folder().with_name("datasets") / name / f"{commit}{part}"


def _kept(reference: DataReference, commit: str) -> Path | None:
    """The folder of a data set that was laid out before."""
    folder = _folder(reference, commit)
    if not (folder / MARK).is_file():
        return None
    return photos_of(folder, reference.split)


def _pin_path(reference: DataReference) -> Path:
    name = quote(f"{reference.repository.replace('/', '--')}@{reference.revision or 'main'}", "@")
    return cache_folder() / "hub-records" / "datasets" / f"{name}.json"


def _pinned(reference: DataReference) -> str | None:
    """The commit of a reference's first use; None before that."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(read_json(_pin_path(reference))["commit"])
    revision = reference.revision
    return revision if revision and COMMIT.fullmatch(revision) else None


def _pin(reference: DataReference, commit: str) -> None:
    path = _pin_path(reference)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"repository": reference.repository, "commit": commit})


def describe_source(source: Source, option: str) -> tuple[str, str] | None:
    """Returns a data set's name with its commit, and what to know of it; None of anything else.

    Args:
        source: what `local_source` was given, and has received.
        option: how it was named, for messages.

    Raises:
        UsageError: it is nearly the name of a data set.
    """
    reference = find_data_reference(source, option)
    commit = None if reference is None else _pinned(reference)
    if reference is None or commit is None:
        return None
    name = str(replace(reference, revision=commit))
    licence = None
    with suppress(OSError, ValueError, AttributeError):
        licence = read_json(_folder(reference, commit) / MARK).get("licence")
    said = f"its licence is {licence}" if licence else "its card names no licence"
    return name, f"{option} {source} is at commit {commit}; {said}"
