"""``edgekit weights list`` and ``edgekit weights fetch MODEL``: the official ImageNet weights."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.options import Json


def list_weights(
    json: Json = False,
) -> None:
    """List the official ImageNet weights: size, hash, licence, and whether they are cached."""
    from dataclasses import asdict

    from edgekit.networks.efficientnet.pretrained import cached, registry

    rows = registry()
    if json:
        from json import dumps

        found = [
            asdict(row)
            | {
                "hash_kind": row.hash_kind,
                "tensor_bytes": row.tensor_bytes,
                "cached": str(path) if (path := cached(row.model)) else None,
            }
            for row in rows
        ]
        print(dumps(found, indent=2, ensure_ascii=False))
        return
    print(f"{'model':<7}{'size':<26}{'hash':<37}{'licence':<12}{'cached':<8}url")
    for row in rows:
        here = "yes" if cached(row.model) else "no"
        print(
            f"{row.model:<7}{row.readable_size:<26}{row.hash_kind:<37}{row.licence:<12}"
            f"{here:<8}{row.url}"
        )


def fetch_weights(
    model: Annotated[str, typer.Argument(help="The variant: b0, lite0, v2-s, …")],
    mirror: Annotated[
        str | None,
        typer.Option(
            help="A folder or an address with the same file names. [EDGEKIT_MIRROR]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Download a model's official ImageNet weights into the cache, and print the file's path."""
    from edgekit.networks.efficientnet.pretrained import fetch, find
    from edgekit.system.console import Console
    from edgekit.system.text import size

    console, file = Console(), find(model).file
    with console.stage(1, 1, f"fetch {file}") as stage:
        path = fetch(model, mirror=mirror, progress=console.progress, note=console.note)
        stage.detail = size(path.stat().st_size)
    print(path)
