"""Files of a repository on a model hub, each at one commit, through huggingface_hub.

The library speaks with the server, logs in and keeps the files in its own cache, where timm and
others look for them as well. It takes what it receives as the right file; comparing hashes is left
to whoever calls.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgekit.errors import EdgekitError
from edgekit.system.console import Progress
from edgekit.system.download import is_offline, writing
from edgekit.system.extras import import_optional
from edgekit.system.files import cache_folder
from edgekit.system.http import host_of, is_loopback, shown
from edgekit.system.hub.errors import explained
from edgekit.system.paths import StrPath
from edgekit.system.text import size as readable_size
from edgekit.version import __version__

EXTRA, PACKAGE = "hub", "huggingface_hub"
#: What a repository may hold.
MODEL, DATASET = "model", "dataset"
#: What a branch is called that nobody has named.
MAIN = "main"
#: A commit's name.
COMMIT = re.compile("[0-9a-f]{40}")
#: What is said of us to the hub.
LIBRARY = {"library_name": "edgekit", "library_version": __version__}


@dataclass(frozen=True)
class RepositoryFile:
    """A file as the hub lists it.

    Attributes:
        name: its path in the repository.
        size: in bytes, or None where the hub does not say.
        sha256: of a large file, or None.
    """

    name: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Attributes:
        name: ``ORG/NAME``.
        commit: 40 hexadecimal digits.
        files: by their names.
        licence: as its card says, or None.
        kind: `MODEL` or `DATASET`.
    """

    name: str
    commit: str
    files: dict[str, RepositoryFile]
    licence: str | None
    kind: str = MODEL


@dataclass(frozen=True)
class Hub:
    """A server that speaks the hub's protocol, and the cache of what came from it.

    Attributes:
        endpoint: its address.
        cache: the folder, in the library's layout.
        log_in: whether the user's token is sent: to the hub itself, and to what HF_ENDPOINT names.
    """

    endpoint: str
    cache: Path
    log_in: bool

    @classmethod
    def open(cls, mirror: str | None = None) -> Hub:
        """The hub, or a mirror of it.

        Raises:
            MissingToolError: huggingface_hub is not installed.
        """
        constants = library("constants")
        own = os.environ.get("EDGEKIT_CACHE")
        cache = cache_folder() / "hub" if own else Path(constants.HF_HUB_CACHE)
        endpoint = mirror or os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        return cls(endpoint.rstrip("/"), cache, mirror is None)

    @property
    def offline(self) -> bool:
        """Whether the network is forbidden, by our variable or by the library's."""
        return is_offline() or bool(library("constants").HF_HUB_OFFLINE)

    @property
    def is_open_to_others(self) -> bool:
        """Whether others on the way could change what is received: by plain http over a network."""
        return urlsplit(self.endpoint).scheme == "http" and not is_loopback(self.endpoint)

    @property
    def _token(self) -> bool | None:
        return None if self.log_in else False

    def list_files(self, name: str, revision: str | None, kind: str = MODEL) -> Repository:
        """Asks which files a repository has, at the newest commit or at a revision.

        Raises:
            EdgekitError: there is no such repository or revision, it cannot be reached, or it
                answers with another commit than the one that was named.
        """
        with explained(self.endpoint, name, revision):
            api = library().HfApi(endpoint=self.endpoint, token=self._token, **LIBRARY)
            info = api.repo_info(name, repo_type=kind, revision=revision, files_metadata=True)
        files = {}
        for one in info.siblings or []:
            sha256 = one.lfs.sha256 if one.lfs else None
            files[one.rfilename] = RepositoryFile(one.rfilename, one.size, sha256)
        card = info.card_data.to_dict() if info.card_data else {}
        licence = card.get("license")
        if not info.sha:
            raise EdgekitError(
                f"{host_of(self.endpoint)} does not say which commit of {name} it has",
                hint="a mirror that speaks the hub's protocol, or a folder",
            )
        if revision and COMMIT.fullmatch(revision) and info.sha != revision:
            raise EdgekitError(
                f"{host_of(self.endpoint)} has another commit of {name}",
                cause=f"{info.sha}, not {revision}",
            )
        return Repository(name, str(info.sha), files, str(licence) if licence else None, kind)

    def cached(self, name: str, revision: str, file: str) -> Path | None:
        """A file in the cache, or None: of a commit, or of a branch as it was last received."""
        with explained(self.endpoint, name, revision):
            found = library().try_to_load_from_cache(
                name, file, cache_dir=self.cache, revision=revision
            )
        return Path(found) if isinstance(found, str) else None  # or a mark that there is none

    def receive(
        self,
        repository: Repository,
        file: str,
        *,
        limit_bytes: int,
        progress: Progress | None = None,
    ) -> Path:
        """Returns a file, received unless it is in the cache.

        A connection that breaks off is taken up again where it did, several times.

        Args:
            repository: at its commit.
            file: one of its files.
            limit_bytes: how many it may have at most.
            progress: told how much has arrived, in megabytes.

        Raises:
            EdgekitError: it cannot be had, or is too large.
        """
        listed = repository.files[file].size
        if listed is not None and listed > limit_bytes:
            raise _too_large(repository.name, file, limit_bytes)
        self._check_disk(listed or 0)
        refuse = _too_large(repository.name, file, limit_bytes)
        with writing(self.cache), explained(self.endpoint, repository.name, repository.commit):
            path = library().hf_hub_download(
                repository.name,
                file,
                repo_type=repository.kind,
                revision=repository.commit,
                cache_dir=self.cache,
                endpoint=self.endpoint,
                token=self._token,
                tqdm_class=_bar(progress, limit_bytes, refuse),
                **LIBRARY,
            )
        return Path(path)

    def address(self, name: str, commit: str | None, file: str) -> str:
        """Where a file is, without a name and password."""
        return f"{shown(self.endpoint)}/{name}/resolve/{commit or MAIN}/{file}"

    def _check_disk(self, needed: int) -> None:
        with writing(self.cache):
            self.cache.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.cache).free
        if needed > free:
            raise EdgekitError(
                f"the disk with {self.cache} is too full",
                cause=f"{readable_size(needed)} are needed, and {readable_size(free)} are free",
                hint="name another folder in the environment variable EDGEKIT_CACHE",
            )


def drop(path: StrPath) -> None:
    """Deletes a file of the cache, and what its name is a link to."""
    path = Path(path)
    with suppress(OSError):
        path.resolve().unlink()
    path.unlink(missing_ok=True)


def library(module: str = "") -> Any:
    """Imports huggingface_hub, or a module of it.

    Raises:
        MissingToolError: it is not installed.
    """
    what = "a model hub"
    # Else it asks the public hub for a list of programs that may be calling, whatever the endpoint.
    import_optional(f"{PACKAGE}.constants", EXTRA, what).HF_HUB_DISABLE_TELEMETRY = True
    return import_optional(f"{PACKAGE}.{module}" if module else PACKAGE, EXTRA, what)


def _too_large(name: str, file: str, limit_bytes: int) -> EdgekitError:
    return EdgekitError(
        f"{file} of {name} is not fetched",
        cause=f"it has more than {readable_size(limit_bytes)}, which no such network needs",
    )


def _bar(progress: Progress | None, limit_bytes: int, refuse: EdgekitError) -> type[Any]:
    """What the library takes for a bar of tqdm: it reports to ours, and counts what arrives."""

    class Bar:
        def __init__(self, *args: Any, **options: Any) -> None:
            self.n, self.total = options.get("initial") or 0, options.get("total") or 0
            self.task = str(options.get("desc") or "download")

        def update(self, count: float | None = 1) -> None:
            self.n += count or 0
            if self.n > limit_bytes:
                raise refuse
            if progress is not None and self.total:
                progress(self.task, round(self.n / 1e6), max(1, round(self.total / 1e6)), "MB")

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args, **options: None  # what else a bar can do draws something

    return Bar
