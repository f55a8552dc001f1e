"""What is demanded of a hub before weights are received from it."""

from __future__ import annotations

from edgekit.errors import EdgekitError
from edgekit.networks.efficientnet.hub.record import Record
from edgekit.networks.efficientnet.hub.reference import HubReference
from edgekit.system.hub.server import Hub

WEIGHTS, CONFIG = "model.safetensors", "config.json"


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
    if hub.is_open_to_others and not record.sha256:
        raise EdgekitError(
            f"the weights of {reference} are not fetched over plain http",
            cause="their hash is not known, so nothing would show that they were changed on the "
            "way",
            hint="an https mirror, or a folder",
        )
