"""Where a data set is received from: a hub, another server, or a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.data.hub.reference import DataReference
from edgekit.errors import EdgekitError, UsageError
from edgekit.system.hashing import file_hash
from edgekit.system.hub.mirror import find_folder, find_mirror
from edgekit.system.hub.server import DATASET, Hub, Repository, drop

#: More than any shard has, which is half a gigabyte.
_MOST_BYTES = 64 << 30


@dataclass(frozen=True)
class Origin:
    """A data set at one commit.

    Attributes:
        commit: 40 hexadecimal digits; of a folder, of the names and sizes of its files.
        names: of its files.
        fetch: receives one, and returns where it is; threads may do so at once.
        url: where it is from.
        licence: as its card says, or None.
    """

    commit: str
    names: frozenset[str]
    fetch: Callable[[str], Path] = field(repr=False)
    url: str
    licence: str | None


def find_origin(reference: DataReference, commit: str | None) -> Origin:
    """Finds a data set; nothing but the list of its files is received.

    Args:
        reference: of it.
        commit: that it must have; None for the newest of the revision.

    Raises:
        UsageError: there is none.
        MissingToolError: huggingface_hub is not installed.
        EdgekitError: the network is forbidden, or the hub cannot be asked.
    """
    server = find_mirror(None)
    folder = find_folder(server)
    if folder is not None:
        return _in_folder(reference, folder)
    hub = Hub.open(server)
    if hub.offline:
        raise EdgekitError(
            f"{reference} is not in the cache",
            cause="EDGEKIT_OFFLINE or HF_HUB_OFFLINE forbids the network",
            hint=f"name a folder with datasets/{reference.repository} in EDGEKIT_MIRROR",
        )
    if hub.is_open_to_others:
        raise EdgekitError(
            f"{reference} is not fetched over plain http",
            cause="nothing would show that its photos were changed on the way",
            hint="an https mirror, or a folder",
        )
    repository = hub.list_files(reference.repository, commit or reference.revision, DATASET)
    return Origin(
        repository.commit,
        frozenset(repository.files),
        lambda name: _receive(hub, repository, name),
        f"{hub.endpoint}/datasets/{repository.name}/tree/{repository.commit}",
        repository.licence,
    )


def _receive(hub: Hub, repository: Repository, name: str) -> Path:
    """One file, whose hash is the one that the hub lists."""
    path = hub.receive(repository, name, limit_bytes=_MOST_BYTES)
    expected = repository.files[name].sha256
    if expected is not None and file_hash(path) != expected:
        drop(path)
        raise EdgekitError(
            f"what arrived is not the right {name} of {repository.name}, and was deleted",
            cause=f"its sha256 is not {expected}, which the hub lists",
        )
    return path


def _in_folder(reference: DataReference, mirror: Path) -> Origin:
    folder = mirror / "datasets" / reference.repository
    if not folder.is_dir():
        raise UsageError(
            f"the mirror {mirror} does not hold {reference}", cause=f"there is no {folder}"
        )
    paths = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }
    sizes = "\n".join(f"{name} {path.stat().st_size}" for name, path in paths.items())
    commit = hashlib.sha256(sizes.encode()).hexdigest()[:40]
    return Origin(commit, frozenset(paths), paths.__getitem__, folder.absolute().as_uri(), None)
