"""How a user names weights on a model hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.hub.tags import all_tags, best_tag, find_tag, why_best
from edgekit.networks.efficientnet.spec import ModelSpec

#: What stands before a repository, here and in timm.
PREFIXES = ("hf://", "hf-hub:", "hf_hub:")
#: The word for the best of timm's weights of a variant.
BEST = "hub"
#: Tags of timm say what was trained on; no ending of a file looks like that.
_TAG = re.compile(r"(tf_)?efficientnet\w*\.\w*in(1|12|21|22)k\w*")
_NAME = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")


@dataclass(frozen=True)
class HubReference:
    """A repository with weights.

    Attributes:
        repository: ``ORG/NAME``.
        revision: a commit, branch or tag; None for the commit that was first received.
        why: why this one, where the user named none; else empty.
    """

    repository: str
    revision: str | None = None
    why: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")


def find_reference(text: str, spec: ModelSpec | None = None) -> HubReference | None:
    """Reads the name of weights on a hub; None where it is something else, such as a path.

    ``hf://ORG/NAME``, ``hf-hub:ORG/NAME`` and a tag of timm, each with ``@REVISION`` where one is
    meant, or ``hub`` for the best of timm's weights of the variant.

    Raises:
        UsageError: it is nearly one of those.
    """
    if text.lower() == BEST and spec is not None:
        tag = best_tag(spec.backbone.name)
        return HubReference(tag.repository, why=why_best(tag))
    prefix = next((one for one in PREFIXES if text.startswith(one)), None)
    name, at, revision = text.removeprefix(prefix or "").partition("@")
    if prefix is None:
        if _TAG.fullmatch(name) is None or Path(text).exists():
            return None
        if find_tag(name) is None:
            raise UsageError(f"no tag of timm's is called {name}", hint=_near(name))
        name = f"timm/{name}"
    if not _REPOSITORY.fullmatch(name) or (at and not _REVISION.fullmatch(revision)):
        raise UsageError(
            f"{text} does not name a repository on a hub",
            hint="hf://ORG/NAME, or hf://ORG/NAME@REVISION",
        )
    return HubReference(name, revision or None)


def check_architecture(reference: HubReference, architecture: str, spec: ModelSpec) -> None:
    """Demands that weights are of a variant, by the name that timm gives their network.

    Raises:
        UsageError: they are not; both are named.
    """
    try:
        theirs = find_spec(architecture.partition(".")[0]).name
    except UsageError:
        theirs = architecture
    if theirs not in (spec.name, spec.backbone.name):
        known = theirs if theirs == architecture else f"{architecture}, which is {theirs}"
        raise UsageError(
            f"the weights of {reference} are not of {spec.name}",
            cause=f"they are of {known}",
            hint=f"`edgekit weights list {spec.backbone.name}` names those that fit",
        )


def check_known(reference: HubReference, spec: ModelSpec) -> None:
    """`check_architecture` as far as the name of the repository says what it holds.

    Raises:
        UsageError: as there.
    """
    tag = find_tag(reference.repository.removeprefix("timm/"))
    if tag is not None and reference.repository == tag.repository:
        check_architecture(reference, tag.tag, spec)


def _near(name: str) -> str:
    return f"{did_you_mean(name, all_tags())} `edgekit weights list VARIANT` names all"
