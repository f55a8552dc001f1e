"""Sends a prepared folder, unless the repository holds something else or is seen by others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.errors import UsageError
from edgekit.pipeline.push.folder import MARK, Prepared
from edgekit.system.files import read_json
from edgekit.system.hub.server import MAIN, Hub
from edgekit.system.hub.upload import Commit, Remote, check_upload, create, look_up, stale, upload

#: What every repository has from its beginning.
_OWN = (".gitattributes",)
_MARK_BYTES = 1 << 20


@dataclass(frozen=True)
class Destination:
    """Where a run goes.

    Attributes:
        name: of the repository, ``ORG/NAME``.
        private: whether it shall be seen by its owners alone.
        revision: the branch; None for the main one.
        message: of the commit.
        overwrite: whether what else it holds may be replaced.
    """

    name: str
    private: bool = True
    revision: str | None = None
    message: str = ""
    overwrite: bool = False


@dataclass(frozen=True)
class Sent:
    """What was sent.

    Attributes:
        url: of the repository at its commit.
        commit: its hash.
        created: whether the repository is new.
    """

    url: str
    commit: str
    created: bool


def check_destination(hub: Hub, to: Destination, model: str) -> tuple[Remote | None, list[str]]:
    """What a repository holds now, and the names of files of an earlier push.

    Raises:
        UsageError: it holds something else, or is seen by others than was asked for.
        EdgekitError: it cannot be asked, or there is no login.
    """
    check_upload(hub)
    remote = look_up(hub, to.name, to.revision)
    if remote is None:
        return None, []
    if remote.private is not to.private:
        _refuse_visibility(remote, to)
    mark = _read_mark(hub, remote)
    held = [name for name in remote.files if name not in _OWN]
    if held and not to.overwrite and mark.get("model") != model:
        what = f"it holds {mark['model']}" if mark else f"it holds {', '.join(held[:3])}"
        raise UsageError(
            f"the repository {to.name} holds something else",
            cause=f"{what}, and this run is of {model}",
            hint="another name, or --overwrite",
        )
    return remote, [str(name) for name in mark.get("files", []) if name in remote.files]


def send(hub: Hub, to: Destination, prepared: Prepared) -> Sent:
    """Makes the repository where there is none, and commits the folder.

    Raises:
        UsageError: as `check_destination`.
        EdgekitError: the token may not write, or the hub cannot be reached.
    """
    remote, earlier = check_destination(hub, to, prepared.model)
    created = remote is None
    if remote is None:
        create(hub, to.name, private=to.private)
        remote = look_up(hub, to.name, to.revision) or Remote(to.name, to.private, None, ())
    message = to.message or f"{prepared.model}, by edgekit"
    removed = stale(earlier, prepared.folder)
    commit = Commit(prepared.folder, message, to.revision, removed)
    oid = upload(hub, remote, commit)
    return Sent(f"{hub.endpoint}/{to.name}/tree/{to.revision or MAIN}", oid, created)


def _refuse_visibility(remote: Remote, to: Destination) -> None:
    is_now, other = ("private", "public") if remote.private else ("public", "private")
    raise UsageError(
        f"the repository {to.name} is {is_now}, and was asked for as {other}",
        cause="a push does not change who sees a repository",
        hint=f"--{is_now}, or its settings on the hub",
    )


def _read_mark(hub: Hub, remote: Remote) -> dict[str, Any]:
    """What an earlier push wrote down; empty where none has."""
    if MARK not in remote.files or remote.commit is None:
        return {}
    repository = hub.list_files(remote.name, remote.commit)
    path = hub.receive(repository, MARK, limit_bytes=_MARK_BYTES)
    try:
        mark = read_json(path)
    except ValueError:
        return {}
    return mark if isinstance(mark, dict) else {}
