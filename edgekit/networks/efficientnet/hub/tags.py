"""timm's weights on the model hub that fit a variant: their published accuracy and licence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.system.files import read_json

CATALOGUE = Path(__file__).with_name("tags.json")
#: Licences that allow commercial use by themselves. What the training data adds, the user judges.
PERMISSIVE = ("apache-2.0", "mit", "bsd-3-clause")


@dataclass(frozen=True)
class TimmTag:
    """One row of the catalogue.

    Attributes:
        model: the variant.
        tag: timm's name of the network and its training, and of the repository of ``timm``.
        classes: outputs of the classifier.
        resolution: of training, in pixels.
        top1: pixels and percent of ImageNet-1k's validation set, as timm has published; empty
            where the classes are others.
        licence: the field of timm's record, which is a default of the whole family.
        trainer: who has trained, a key of the notes on licences.
    """

    model: str
    tag: str
    classes: int
    resolution: int
    top1: tuple[tuple[int, float], ...]
    licence: str
    trainer: str

    @property
    def repository(self) -> str:
        """Its name on the hub."""
        return f"timm/{self.tag}"

    @property
    def training(self) -> str:
        """What it was trained on and how, as far as timm says."""
        return str(_contents()["trainings"][self.tag.partition(".")[2]])

    @property
    def licence_note(self) -> str:
        """What timm says beside the licence of weights of that trainer."""
        return str(_contents()["licence_notes"][self.trainer])

    @property
    def figure(self) -> tuple[int, float] | None:
        """The figure at the largest input that is no larger than the variant's own.

        Where all were taken at larger ones (Lite3 and Lite4), the smallest of those.
        """
        own = SPECS[self.model].resolution
        fitting = [figure for figure in self.top1 if figure[0] <= own]
        return max(fitting) if fitting else min(self.top1, default=None)


def tags_of(model: str) -> list[TimmTag]:
    """The tags of a variant, the most accurate first; those without a figure at the end."""
    rows = [tag for tag in _tags().values() if tag.model == model]
    return sorted(rows, key=lambda tag: -(tag.figure or (0, 0.0))[1])


def find_tag(name: str) -> TimmTag | None:
    """The tag that is called so, or None."""
    return _tags().get(name)


def all_tags() -> list[str]:
    """The names of all tags."""
    return list(_tags())


def best_tag(model: str) -> TimmTag:
    """The most accurate of a variant by the published figures, of a permissive licence.

    Raises:
        UsageError: there is none.
    """
    fitting = [tag for tag in tags_of(model) if tag.figure and tag.licence in PERMISSIVE]
    if not fitting:
        raise UsageError(
            f"no weights of {model} on the hub are known",
            hint="hf://ORG/NAME names a repository",
        )
    return fitting[0]


def why_best(tag: TimmTag) -> str:
    """Why `best_tag` has chosen it, and what that leaves to the user, in words."""
    if tag.figure is None:
        raise ValueError(f"{tag.tag} has no figure")
    pixels, percent = tag.figure
    return (
        f"{tag.tag}, whose published top-1, {percent:.2f} % at {pixels} px, is the best of "
        f"{len(tags_of(tag.model))} for {tag.model}. Its training: {tag.training}. Its licence, "
        f"{tag.licence} by timm's record, allows commercial use by itself; {tag.licence_note}. "
        "Whether that fits your product is yours to judge"
    )


@cache
def _contents() -> dict[str, Any]:
    contents: dict[str, Any] = read_json(CATALOGUE)
    return contents


@cache
def _tags() -> dict[str, TimmTag]:
    rows = [
        TimmTag(**{**row, "top1": tuple((pixels, percent) for pixels, percent in row["top1"])})
        for row in _contents()["tags"]
    ]
    return {row.tag: row for row in rows}
