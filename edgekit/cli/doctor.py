"""``edgekit doctor --device URL``: what a device is, and what it lacks to run models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import Json

if TYPE_CHECKING:
    from edgekit.targets.doctor.examine import Facts, Missing, Python
    from edgekit.targets.toolchains.status import Status

WIDTH = 13  # of the column of names

# The bits of `vcgencmd get_throttled` that say that something is so now; 16 bits higher it was so.
THROTTLED = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "near its heat limit"}


def command(
    device: Annotated[
        str, typer.Option(help="local:, ssh://[user@]host[:port] or adb:[//SERIAL].", metavar="URL")
    ] = "local:",
    python: Annotated[
        str | None,
        typer.Option(help="The device's Python. [the first that fits]", metavar="PATH"),
    ] = None,
    json: Json = False,
) -> None:
    """Say what a device is, which Pythons it has, and what it lacks to run models.

    It installs nothing. It ends with 3 where models cannot run there, and names the command that
    changes that. Of this machine it also says which makers' tools are installed, and whether they
    can be imported.
    """
    import sys

    from edgekit.system.console import safe
    from edgekit.targets.devices.hosts import LocalHost
    from edgekit.targets.devices.open import open_host
    from edgekit.targets.doctor import examine as doctor

    with open_host(device) as host:
        facts = doctor.examine(host, python)
        name, tools = host.name, doctor.toolchains() if isinstance(host, LocalHost) else []
    missing = doctor.missing(facts)
    if json:
        _print_json(device, facts, missing, tools)
    else:
        lines = [*_facts(device, facts, doctor.choose_python(facts)), *_toolchains(tools)]
        print(safe("\n".join([*lines, *_missing(missing)]), sys.stdout))
    if any(found.needed for found in missing):
        raise doctor.runtime_missing(name, facts)


def _print_json(device: str, facts: Facts, missing: list[Missing], tools: list[Status]) -> None:
    from dataclasses import asdict
    from json import dumps

    document = {
        "schema_version": 1,
        "device": device,
        "facts": facts.to_dict(),
        "missing": [asdict(found) for found in missing],
        "toolchains": [found.to_dict() for found in tools],
    }
    print(dumps(document, indent=2, ensure_ascii=False))


def _facts(device: str, facts: Facts, chosen: Python | None) -> list[str]:
    from edgekit.system.text import NOTHING

    rows = {
        "device": device,
        "board": facts.board,
        "system": facts.system,
        "kernel": facts.kernel,
        "machine": facts.machine,
        "C library": f"glibc {facts.glibc}" if facts.glibc else "musl" if facts.musl else None,
        "processor": facts.cpu,
        "cores": facts.cores,
        "clock": _clock(facts),
        "temperature": _temperature(facts),
        "power": None if facts.throttled is None else throttling(facts.throttled),
        "memory": _free(facts.memory_free_bytes, facts.memory_bytes),
        "disk": _free(facts.disk_free_bytes, None),
    }
    for found in facts.accelerators:
        rows[found.delegate.row] = ", ".join(found.places) or "none"
        if found.places or found.library:
            rows[found.delegate.name] = found.library
    if facts.throttled is None:
        del rows["power"]
    lines = [f"{name:<{WIDTH}}{value or NOTHING}" for name, value in rows.items()]
    return [*lines, "", *_pythons(facts.pythons, chosen)]


def _pythons(pythons: tuple[Python, ...], chosen: Python | None) -> list[str]:
    lines = []
    for python in pythons:
        parts = [f"numpy {python.numpy}" if python.numpy else "no numpy"]
        parts += [f"{name} {version}" for name, version in python.runtimes.items()]
        parts += [] if python.runtimes else ["no TFLite runtime"]
        mark = "*" if python is chosen else " "
        lines.append(f"{mark} {python.path}\n    {python.version}, {', '.join(parts)}")
    note = ["* the one that edgekit uses"] if chosen else []
    return ["pythons", *(lines or ["  none"]), *note]


def _toolchains(tools: list[Status]) -> list[str]:
    from edgekit.targets.toolchains.status import WORDS

    lines = ["", "makers' tools"] if tools else []
    for found in tools:
        state = "ready" if found.is_ready else WORDS[found.state]
        why = f": {found.why}" if found.why else ""
        lines.append(f"  {found.name} {found.version}, {state}{why}")
        lines += [f"    {found.command}"] if found.command else []
    return lines


def _missing(missing: list[Missing]) -> list[str]:
    lines = []
    for found in missing:
        lines += ["", f"missing      {found.what}: {found.why}"]
        lines += [f"  {found.command}"] if found.command else []
    return lines


def throttling(bits: str) -> str:
    """Says in words what a Raspberry Pi reports of its supply and its heat."""
    value = int(bits, 16)
    now = [words for bit, words in THROTTLED.items() if value >> bit & 1]
    before = [words for bit, words in THROTTLED.items() if value >> bit + 16 & 1]
    said = [f"now {', '.join(now)}"] if now else []
    said += [f"since it started {', '.join(before)}"] if before else []
    return f"{'; '.join(said) or 'no trouble'} ({bits})"


def _clock(facts: Facts) -> str | None:
    known = [facts.clock_mhz, facts.max_clock_mhz]
    parts = [f"{mhz:.0f} MHz" for mhz in known if mhz is not None]
    clock = " of ".join(parts)
    governor = f"governor {facts.governor}" if facts.governor else ""
    return ", ".join(filter(None, [clock, governor])) or None


def _temperature(facts: Facts) -> str | None:
    if facts.temperature_c is None:
        return None
    return f"{facts.temperature_c:.1f} °C" + (f" ({facts.sensor})" if facts.sensor else "")


def _free(free: int | None, total: int | None) -> str | None:
    from edgekit.system.text import size

    if free is None:
        return None if total is None else size(total)
    return f"{size(free)} free" + (f" of {size(total)}" if total is not None else "")
