"""``edgekit devices [URL...]``: which devices answer."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.options import Json


def command(
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL...", help="Devices to ask besides.", show_default=False),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that each may take to answer.", min=0)
    ] = 3.0,
    json: Json = False,
) -> None:
    """List the devices that answer: this machine, phones over adb, hosts of ~/.ssh/config."""
    import sys

    from edgekit.system.console import safe
    from edgekit.targets.doctor.discover import find

    found = find(urls or [], timeout)
    if json:
        from dataclasses import asdict
        from json import dumps

        document = {"schema_version": 1, "devices": [asdict(device) for device in found]}
        print(dumps(document, indent=2, ensure_ascii=False))
    else:
        wide = max(len(device.url) for device in found)
        state = max(len(device.state) for device in found)
        lines = [f"{d.url:<{wide}}  {d.state:<{state}}  {d.detail}".rstrip() for d in found]
        print(safe("\n".join(lines), sys.stdout))
