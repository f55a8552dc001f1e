"""Writes the requirements of a toolchain: everything that its environment holds, with hashes.

    python -m edgekit.targets.toolchains.lock FILE NAME==VERSION ... [--without torch] [--alone …]

For whoever brings a maker's tool or its next version: pip chooses the versions for this Python, and
the package index gives the hashes of every wheel of each release, so that other systems can use the
file too. What edgekit lends the tool (`Toolchain.borrows`) is left out.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import requests

from edgekit.errors import EdgekitError
from edgekit.targets.toolchains.requirements import canonical

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
#: Wheels that a Python of edgekit's may take, on systems that torch has wheels for.
USABLE = re.compile(
    r"-(?:[\w.]*\bpy3\b[\w.]*-none|py3\d*-none|cp3(?:1\d|\d)-abi3|cp31\d-(?:cp31\d|none))-"
    r"(?:any|(?:\w+\.)*manylinux\w*_(?:x86_64|aarch64)[\w.]*|macosx\w*|win_amd64)\.whl$"
)

#: Prints pip's index: as it is configured, else the one that is built in.
INDEX = """
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
config = Configuration(isolated=False)
config.load()
known = dict(config.items())
for name, value in list(known.items()):
    known.update(value if isinstance(value, dict) else {})  # newer pips group them by file
names = (":env:.index-url", "install.index-url", "global.index-url")
print(next((known[name] for name in names if name in known), PyPI.simple_url))
"""


@dataclass(frozen=True)
class Locked:
    """One package of the environment.

    Attributes:
        name: of the distribution.
        version: exactly.
        hashes: SHA-256 of its wheels.
        size: bytes of the wheel that this machine takes; 0 where the index does not say it.
        licence: as the package says it.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    size: int
    licence: str

    @property
    def lines(self) -> str:
        """As pip reads it."""
        hashes = [f"    --hash=sha256:{digest}" for digest in self.hashes]
        return " \\\n".join([f"{self.name}=={self.version}", *hashes])


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the file, and says what the packages weigh and under which licences they are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="The requirements file to write.")
    parser.add_argument("wanted", nargs="*", help="NAME==VERSION, or any other requirement.")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME[==VERSION]",
        help="Borrowed from edgekit, so not in the file; pip is given this version for it.",
    )
    parser.add_argument(
        "--alone",
        action="append",
        default=[],
        metavar="NAME==VERSION",
        help="Taken without what it asks for, where its pins are wrong: name the rest yourself.",
    )
    given = parser.parse_args(arguments)
    packages = lock(given.wanted, given.without, given.alone)
    words = [*given.wanted, *(f"--without {x}" for x in given.without)]
    words += [f"--alone {x}" for x in given.alone]
    python = ".".join(map(str, sys.version_info[:2]))
    head = f"# Made for Python {python} by edgekit.targets.toolchains.lock:\n# {' '.join(words)}\n"
    given.file.write_text(head + "\n".join(package.lines for package in packages) + "\n", "utf-8")
    for package in packages:
        megabytes = package.size / 1e6
        print(f"{megabytes:8.1f} MB  {package.name} {package.version}  {package.licence}")
    total = sum(package.size for package in packages) / 1e6
    print(f"{total:8.1f} MB in {len(packages)} packages, in {given.file}")


def lock(
    wanted: Sequence[str], without: Sequence[str] = (), alone: Sequence[str] = ()
) -> list[Locked]:
    """Resolves requirements for this Python, and finds the hashes of every package.

    Args:
        wanted: requirements.
        without: packages that are there already; ``NAME``, or ``NAME==VERSION`` to pretend one.
        alone: requirements that are taken without their dependencies.

    Raises:
        EdgekitError: pip finds no set of packages that fits.
    """
    index = subprocess.run(  # noqa: S603 - a list, no shell
        [sys.executable, "-c", INDEX], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="edgekit-lock-") as name:
        lent = {canonical(text.partition("==")[0]): text for text in without}
        empty = [str(_empty_wheel(Path(name), text)) for text in lent.values()]
        rows = _resolve([*wanted, *empty], Path(name)) if wanted else []
        rows += _resolve(["--no-deps", *alone], Path(name)) if alone else []
    found = {canonical(row["metadata"]["name"]): row for row in rows}
    chosen = {name: row for name, row in sorted(found.items()) if name not in lent}
    with requests.Session() as session:
        return [_locked(name, row, index, session) for name, row in chosen.items()]


def _resolve(words: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """What pip would install."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--report", str(report)]
    ran = subprocess.run(  # noqa: S603 - a list, no shell
        [*command, *words], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        cause = ran.stderr.strip()[-2000:]
        raise EdgekitError("pip finds no packages that fit together", cause=cause)
    rows: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["install"]
    return rows


def _empty_wheel(folder: Path, text: str) -> Path:
    """A package of that name that holds and asks for nothing: pip takes it for the real one."""
    name, _, wanted = text.partition("==")
    found = wanted or version(name)
    stem = f"{canonical(name).replace('-', '_')}-{found}"
    info = f"{stem}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {found}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [_record(path, body) for path, body in files.items()]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, body in files.items():
            archive.writestr(member, body)
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return path


def _record(path: str, body: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(body.encode()).digest()).rstrip(b"=")
    return f"{path},sha256={digest.decode()},{len(body.encode())}"


def _locked(name: str, row: dict[str, Any], index: str, session: requests.Session) -> Locked:
    about, origin = row["metadata"], row["download_info"]
    taken = origin["url"].rpartition("/")[2].replace("%2B", "+")
    hashes = origin.get("archive_info", {}).get("hashes", {})
    answer = session.get(
        f"{index.rstrip('/')}/{name}/", headers={"Accept": SIMPLE_JSON}, timeout=60
    )
    files: list[dict[str, Any]] = []
    if answer.ok and "json" in answer.headers.get("Content-Type", ""):
        files = answer.json()["files"]
    stem = re.compile(rf"[^-]+-{re.escape(about['version'])}(?:-\d\w*)?(?=-)")
    wheels = {
        file["filename"]: file
        for file in files
        if stem.match(file["filename"]) and USABLE.search(file["filename"])
    }
    digests = {file["hashes"]["sha256"] for file in wheels.values()}
    digests |= {hashes["sha256"]} if "sha256" in hashes else set()
    if not digests:
        raise EdgekitError(f"no hash of {name} {about['version']} is known", cause=origin["url"])
    licence = about.get("license_expression") or about.get("license") or _classified(about)
    size = wheels.get(taken, {}).get("size") or 0
    short = (licence.strip().splitlines() or ["?"])[0][:60]
    return Locked(name, about["version"], tuple(sorted(digests)), size, short)


def _classified(about: dict[str, Any]) -> str:
    found = [x for x in about.get("classifier", []) if x.startswith("License")]
    return found[0].rpartition(":: ")[2] if found else "?"


if __name__ == "__main__":
    main()
