"""Puts a folder into a repository of a model hub as one commit, through huggingface_hub.

Who writes is known by the login of that library or by HF_TOKEN; a token is never an argument here.
Large files go by the hub's LFS protocol, which any server of its kind speaks, and in one commit
with the others: the newer one sends a folder in several, which a break would leave half done.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from edgekit.errors import EdgekitError, UsageError
from edgekit.system.http import host_of, is_loopback
from edgekit.system.hub.errors import explained
from edgekit.system.hub.server import LIBRARY, MAIN, Hub, library
from edgekit.system.paths import StrPath


@dataclass(frozen=True)
class Remote:
    """A repository as it is before something is put into it.

    Attributes:
        name: ``ORG/NAME``.
        private: whether it is seen by its owners alone.
        commit: the newest of the revision; None where that does not exist yet.
        files: their names at that commit.
    """

    name: str
    private: bool
    commit: str | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class Commit:
    """What is put into a repository.

    Attributes:
        folder: whose files, all of them, it has; names are relative to it.
        message: of the commit.
        revision: the branch; None for the main one. It is made where it does not exist.
        removed: names of files that it takes away.
    """

    folder: Path
    message: str
    revision: str | None = None
    removed: tuple[str, ...] = ()


def check_upload(hub: Hub) -> None:
    """Demands a network and a login that may be sent over it.

    Raises:
        EdgekitError: the network is forbidden, the address is not https, or there is no login.
    """
    host = host_of(hub.endpoint)
    if hub.offline:
        raise EdgekitError(
            f"nothing is put on {host}",
            cause="EDGEKIT_OFFLINE or HF_HUB_OFFLINE forbids the network",
            hint="`edgekit push --dry-run` writes the folder, for a machine with a network",
        )
    if urlsplit(hub.endpoint).scheme != "https" and not is_loopback(hub.endpoint):
        raise EdgekitError(
            f"no token is sent to {host} over plain http",
            cause="whoever is on the way could read it",
            hint="an https address in HF_ENDPOINT",
        )
    if library().get_token() is None:
        raise EdgekitError(
            f"there is no login to {host}",
            cause="there is neither HF_TOKEN nor a token that huggingface_hub has kept",
            hint="`hf auth login`, or a token with the right to write in the environment variable "
            "HF_TOKEN",
        )


def look_up(hub: Hub, name: str, revision: str | None) -> Remote | None:
    """What a repository holds; None where there is none that the token can see.

    Raises:
        EdgekitError: the hub cannot be asked.
    """
    api, errors = _api(hub), library("errors")
    with explained(hub.endpoint, name, revision), _refusals(hub, name):
        try:
            info = api.model_info(name)
        except errors.GatedRepoError:
            raise
        except errors.RepositoryNotFoundError:
            return None
        if revision not in (None, MAIN):
            try:
                info_there = api.model_info(name, revision=revision)
            except errors.RevisionNotFoundError:
                return Remote(name, bool(info.private), None, ())
            info = info_there
    files = tuple(one.rfilename for one in info.siblings or [])
    return Remote(name, bool(info.private), info.sha, files)


def create(hub: Hub, name: str, *, private: bool) -> None:
    """Makes a repository.

    Raises:
        EdgekitError: the token may not, or the hub cannot be reached.
    """
    with explained(hub.endpoint, name, None), _refusals(hub, name):
        _api(hub).create_repo(name, private=private, repo_type="model")


def upload(hub: Hub, remote: Remote, commit: Commit) -> str:
    """Commits the files of a folder; returns the hash of the commit.

    Raises:
        EdgekitError: the token may not, the repository has changed meanwhile, or the hub cannot
            be reached.
    """
    hf, api, revision = library(), _api(hub), commit.revision
    # A folder is sent in one commit; see above.
    library("constants").HF_HUB_DISABLE_XET = True
    paths = [path for path in sorted(commit.folder.rglob("*")) if path.is_file()]
    operations: list[Any] = [hf.CommitOperationDelete(name) for name in commit.removed]
    operations += [
        hf.CommitOperationAdd(path.relative_to(commit.folder).as_posix(), str(path))
        for path in paths
    ]
    with explained(hub.endpoint, remote.name, revision), _refusals(hub, remote.name), _quiet(hf):
        if revision not in (None, MAIN) and remote.commit is None:
            api.create_branch(remote.name, branch=revision, exist_ok=True)
        done = api.create_commit(
            remote.name,
            operations,
            commit_message=commit.message,
            revision=revision,
            # Who has changed it since it was looked at is not overwritten.
            parent_commit=remote.commit,
        )
    return str(done.oid)


def _api(hub: Hub) -> Any:
    return library().HfApi(endpoint=hub.endpoint, **LIBRARY)


@contextmanager
def _quiet(hf: Any) -> Iterator[None]:
    """Without the library's own bars and warnings, which would be among our lines."""
    bars = hf.utils
    was_off = bars.are_progress_bars_disabled()
    bars.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its client, about how it is called by the library
            yield
    finally:
        if not was_off:
            bars.enable_progress_bars()


@contextmanager
def _refusals(hub: Hub, name: str) -> Iterator[None]:
    """Says plainly what it means that a hub refuses to be written to."""
    try:
        yield
    except Exception as error:  # of three libraries: its own, its client's, the system's
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        for one in _chain(error):
            kinds = {kind.__name__ for kind in type(one).__mro__}
            code = getattr(getattr(one, "response", None), "status_code", None)
            # So does the hub answer for what it shows, but not as it was asked for.
            if code in _REFUSALS and not kinds & {"GatedRepoError", "RevisionNotFoundError"}:
                raise _REFUSALS[code].of(hub, name, first) from error
            if "TransportError" in kinds:
                raise _UNREACHABLE.of(hub, name, first) from error
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what lies below it."""
    while error is not None:
        yield error
        error = error.__cause__


class _Refusal(NamedTuple):
    """What is said of a kind of refusal: of ``name`` and ``host``."""

    message: str
    hint: str | None = None
    error: type[EdgekitError] = EdgekitError

    def of(self, hub: Hub, name: str, reason: str) -> EdgekitError:
        """The error."""
        said = self.message.format(name=name, host=host_of(hub.endpoint))
        return self.error(said, cause=reason, hint=self.hint)


_UNREACHABLE = _Refusal(
    "{name} cannot be sent to {host}",
    "the same command again: large files that have arrived are not sent twice",
)
_FORBIDDEN = _Refusal(
    "the token may not write to {name} on {host}",
    "a token with the right to write, of a member of that organisation",
)
_CHANGED = _Refusal(
    "{name} has changed on {host} while it was written to", "the same command again"
)
_NOT_TAKEN = _Refusal("{host} does not take this for {name}", error=UsageError)
#: By the status of HTTP.
_REFUSALS = {
    400: _NOT_TAKEN,
    401: _Refusal(
        "{host} does not accept the token",
        "`hf auth login`, or another one in the environment variable HF_TOKEN",
    ),
    403: _FORBIDDEN,
    404: _FORBIDDEN,  # the hub does not show what a token may not see
    409: _CHANGED,
    412: _CHANGED,
    413: _NOT_TAKEN,
    422: _NOT_TAKEN,
}


def stale(files: Sequence[str], folder: StrPath) -> tuple[str, ...]:
    """The names that a folder does not have."""
    return tuple(name for name in files if not (Path(folder) / name).is_file())
