"""Under which licence the weights of a run began, as far as anything that was kept says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.networks.efficientnet import pretrained
from edgekit.networks.efficientnet.hub.record import read_record
from edgekit.networks.efficientnet.hub.reference import find_reference
from edgekit.networks.efficientnet.hub.tags import find_tag

#: The hub's own word.
UNKNOWN = "unknown"
IMAGENET = "imagenet"


@dataclass(frozen=True)
class Licence:
    """A licence and what it is known by.

    Attributes:
        name: as the hub spells it; `UNKNOWN` where nothing names one.
        why: a sentence for the card.
        base: the repository on a hub where the weights began; None where they did elsewhere.
    """

    name: str
    why: str
    base: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything names one."""
        return self.name != UNKNOWN


def find_licence(
    origin: Mapping[str, Any] | None, backbone: str, given: str | None = None
) -> Licence:
    """Finds the licence of what a run has trained; nothing is guessed.

    Args:
        origin: where the weights were from, as the manifest has it; None of random ones.
        backbone: the variant whose published weights they may be.
        given: what the user says.
    """
    found = _of_weights(origin, backbone)
    if given is None:
        return found
    said = f"As its publisher says: {given}."
    why = f"{said} The weights that training began with: {found.why}" if origin else said
    return Licence(given.strip().lower(), why, found.base)


def _of_weights(origin: Mapping[str, Any] | None, backbone: str) -> Licence:
    if origin is None:
        return Licence(
            UNKNOWN, "Training began with random weights, and its publisher names no licence."
        )
    name = str(origin["name"])
    if name == IMAGENET:
        licence = pretrained.find(backbone).licence
        return Licence(
            licence.lower(), f"That of the published weights, {licence} ({origin['url']})."
        )
    try:
        reference = find_reference(name)
    except EdgekitError:  # a path that is gone, and looks like a name
        reference = None
    if reference is None:
        return Licence(UNKNOWN, "Training began with a file of weights that names no licence.")
    # That of the card, else of the table of timm's weights that edgekit has.
    tag = find_tag(reference.repository.removeprefix("timm/"))
    known = read_record(reference).licence or (tag.licence if tag else None)
    base = reference.repository
    if known is None:
        return Licence(UNKNOWN, f"Neither the card nor the weights of {base} name one.", base)
    return Licence(known.lower(), f"That of {base}, {known}.", base)
