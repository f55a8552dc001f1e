"""What was first received under a name: the commit and the hashes that must match from then on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta

from edgekit.networks.efficientnet.hub.reference import HubReference
from edgekit.system.download import writing
from edgekit.system.files import cache_folder, write_json
from edgekit.system.hub.server import MAIN
from edgekit.system.records import decode_record


@dataclass(frozen=True)
class Record:
    """What was received; empty where nothing was.

    Attributes:
        commit: of the repository; None where a folder does not say it.
        sha256: of each file, by its name.
        licence: as the repository's card says, or None.
    """

    commit: str | None = None
    sha256: Mapping[str, Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]] = field(
        default_factory=dict
    )
    licence: str | None = None


def record_path(reference: HubReference) -> Path:
    """Where the record of a reference is."""
    name = quote(f"{reference.repository.replace('/', '--')}@{reference.revision or MAIN}", "@")
    return cache_folder() / "hub-records" / f"{name}.json"


def read_record(reference: HubReference) -> Record:
    """The record of a reference; one that is damaged says nothing, and is an empty one."""
    with suppress(OSError, ValueError):
        return decode_record(record_path(reference).read_bytes(), Record)
    return Record()


def write_record(reference: HubReference, record: Record) -> None:
    """Writes down what must match from now on.

    Raises:
        EdgekitError: the cache cannot be written to.
    """
    path = record_path(reference)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            path,
            {
                "repository": reference.repository,
                "revision": reference.revision or MAIN,
                "commit": record.commit,
                "licence": record.licence,
                "sha256": dict(record.sha256),
            },
        )
