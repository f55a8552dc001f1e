"""Where repositories are received from: the hub, another server, or a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.efficientnet.hub.record import Record
from edgekit.networks.efficientnet.hub.reference import HubReference
from edgekit.system.http import is_loopback
from edgekit.system.hub.server import Hub

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def find_mirror(given: str | None) -> str | None:
    """Where the files are fetched instead, unless HF_ENDPOINT says it, which the library reads."""
    if given or os.environ.get("HF_ENDPOINT"):
        return given
    return os.environ.get("EDGEKIT_MIRROR") or None


def find_folder(mirror: str | None) -> Path | None:
    """The folder that a mirror is; None where it is an address, or there is none.

    Raises:
        UsageError: it is neither.
    """
    if mirror is None:
        return None
    with suppress(ValueError):
        address = urlsplit(mirror)
        if address.scheme in ("http", "https"):
            return None
        if address.scheme == "file":
            mirror = url2pathname(address.path)
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"the mirror {mirror} is neither an address nor a folder",
            hint="https://… of a server that speaks the hub's protocol, or a folder that holds "
            "ORG/NAME/model.safetensors",
        )
    return folder


def check_network(hub: Hub, reference: HubReference, record: Record) -> None:
    """Demands that the network is allowed, and that what comes over it can be trusted.

    Raises:
        EdgekitError: it is not, or cannot.
    """
    if hub.offline:
        raise EdgekitError(
            f"the weights of {reference} are not in the cache",
            cause="EDGEKIT_OFFLINE or HF_HUB_OFFLINE forbids the network",
            hint=f"`edgekit weights fetch {reference}` where there is one, and copy {hub.cache}; "
            f"or name a folder with {reference.repository}/{WEIGHTS} in EDGEKIT_MIRROR",
        )
    if (
        urlsplit(hub.endpoint).scheme == "http"
        and not is_loopback(hub.endpoint)
        and not record.sha256
    ):
        raise EdgekitError(
            f"the weights of {reference} are not fetched over plain http",
            cause="their hash is not known, so nothing would show that they were changed on the "
            "way",
            hint="an https mirror, or a folder",
        )
