"""``edgekit weights list`` and ``edgekit weights fetch``: published weights, and those of a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json

if TYPE_CHECKING:
    from edgekit.networks.efficientnet.hub.tags import TimmTag
    from edgekit.networks.efficientnet.pretrained import Pretrained


def list_weights(
    model: Annotated[
        str | None,
        typer.Argument(help="One variant, with timm's of it on the hub.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """List the official ImageNet weights: size, hash, licence, and whether they are cached.

    MODEL shows timm's weights of it on the model hub as well: accuracy, licence, training.
    """
    from edgekit.networks.efficientnet.pretrained import find, registry

    rows = registry() if model is None else [find(model)]
    if json:
        from json import dumps

        records = [_published_record(row) for row in rows]
        found = records if model is None else _records_of_one(rows[0], records[0])
        print(dumps(found, indent=2, ensure_ascii=False))
        return
    print("\n".join(_published_table(rows)))
    if model is not None:
        print("\n".join(_hub_table(rows[0])))


def fetch_weights(
    model: Annotated[str, typer.Argument(help="The variant, hf://ORG/NAME, or a tag of timm's.")],
    mirror: Annotated[
        str | None,
        typer.Option(
            help="A folder or an address with the same file names, or with the repositories of a "
            "hub. [EDGEKIT_MIRROR]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Download a model's official ImageNet weights, or a hub's, and print the file's path."""
    from edgekit.networks.efficientnet.hub.fetch import fetch_from_hub
    from edgekit.networks.efficientnet.hub.reference import find_reference
    from edgekit.networks.efficientnet.pretrained import fetch, find
    from edgekit.system.console import Console
    from edgekit.system.text import size

    console, reference = Console(), find_reference(model)
    progress, note = console.progress, console.note
    with console.stage(1, 1, f"fetch {reference or find(model).file}") as stage:
        if reference is None:
            path = fetch(model, mirror=mirror, progress=progress, note=note)
        else:
            path = fetch_from_hub(reference, mirror=mirror, progress=progress, note=note).path
        stage.detail = size(path.stat().st_size)
    print(path)


def _published_record(row: Pretrained) -> dict[str, Any]:
    from dataclasses import asdict

    from edgekit.networks.efficientnet.pretrained import cached

    return asdict(row) | {
        "hash_kind": row.hash_kind,
        "tensor_bytes": row.tensor_bytes,
        "cached": str(path) if (path := cached(row.model)) else None,
    }


def _records_of_one(row: Pretrained, published: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from edgekit.networks.efficientnet.hub.tags import best_tag, tags_of, why_best

    best = best_tag(row.model)
    hub = [
        asdict(tag)
        | {
            "repository": tag.repository,
            "training": tag.training,
            "licence_note": tag.licence_note,
            "fetched": _is_fetched(tag),
            "best": tag == best,
        }
        for tag in tags_of(row.model)
    ]
    return {
        "default": "imagenet",
        "default_because": _why_default(row),
        "imagenet": published,
        "hub": hub,
        "best_because": why_best(best),
    }


def _published_table(rows: list[Pretrained]) -> list[str]:
    from edgekit.networks.efficientnet.pretrained import cached

    lines = [f"{'model':<7}{'size':<26}{'hash':<37}{'licence':<12}{'cached':<8}url"]
    for row in rows:
        here = "yes" if cached(row.model) else "no"
        lines.append(
            f"{row.model:<7}{row.readable_size:<26}{row.hash_kind:<37}{row.licence:<12}"
            f"{here:<8}{row.url}"
        )
    return lines


def _hub_table(row: Pretrained) -> list[str]:
    """The tags of a variant, how a build is asked to take one, and which is the best."""
    from edgekit.networks.efficientnet.hub.tags import best_tag, tags_of, why_best
    from edgekit.system.text import NOTHING

    tags, best = tags_of(row.model), best_tag(row.model)
    width = max(len(tag.tag) for tag in tags) + 2
    lines = [
        f"`edgekit build --weights imagenet` takes the above, and so does a build with photos that "
        f"names no weights: {_why_default(row)}.",
        "",
        f"{'tag':<{width}}{'top-1 %':>8}{'px':>5}{'classes':>9}  {'licence':<12}{'of':<15}"
        f"{'fetched':<9}training",
    ]
    for tag in tags:
        pixels, percent = tag.figure or (tag.resolution, None)
        top1 = NOTHING if percent is None else f"{percent:.2f}"
        lines.append(
            f"{tag.tag:<{width}}{top1:>8}{pixels:>5}{tag.classes:>9,}  {tag.licence:<12}"
            f"{tag.trainer:<15}{'yes' if _is_fetched(tag) else 'no':<9}{tag.training}"
        )
    notes = dict.fromkeys((tag.trainer, tag.licence_note) for tag in tags)
    return [
        *lines,
        "",
        "`edgekit build --weights TAG` takes one of these, timm's on the model hub, and needs",
        "edgekit[hub]. px: the input at which timm measured. licence: of timm's record, one",
        "default for the whole family; what a repository's own card says is shown when it is",
        "fetched.",
        *(f"Of {trainer}: {note}." for trainer, note in notes),
        "",
        f"`edgekit build --weights hub` takes {why_best(best)}.",
    ]


def _why_default(row: Pretrained) -> str:
    known = "its whole hash is published" if row.pinned else "a part of its hash is published"
    return f"the publisher's own file, {known}, and no extra is needed"


def _is_fetched(tag: TimmTag) -> bool:
    from edgekit.networks.efficientnet.hub.record import read_record
    from edgekit.networks.efficientnet.hub.reference import HubReference

    return bool(read_record(HubReference(tag.repository)).sha256)
