"""What edgekit's own environment lends a toolchain, such as torch: links, or copies of it.

They are in a folder of their own, behind the environment's packages on the path, so that pip can
never write through a link, and what the requirements name is taken first.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.targets.toolchains.requirements import canonical, read_requirements
from edgekit.targets.toolchains.toolchain import BORROWED, Toolchain, packages_in

PATH_FILE = "edgekit-borrowed.pth"


def lend(toolchain: Toolchain) -> dict[str, str]:
    """Makes the links new, and returns the version of every distribution that was lent.

    Raises:
        EdgekitError: edgekit's environment does not have one of them as plain files.
    """
    folder = toolchain.folder / BORROWED
    shutil.rmtree(folder, ignore_errors=True)
    if not toolchain.borrows:
        return {}
    folder.mkdir()
    packages = packages_in(toolchain.folder)
    way = Path(*[".."] * len(packages.relative_to(toolchain.folder).parts), BORROWED)
    (packages / PATH_FILE).write_text(f"{way}\n", "utf-8")
    lent = {}
    for distribution in _all(toolchain):
        for source in _places(distribution):
            _link(source, folder / source.name)
        lent[canonical(distribution.metadata["Name"])] = distribution.version
    return lent


def _all(toolchain: Toolchain) -> Iterator[Distribution]:
    """What is borrowed, and what that asks for, unless the toolchain has its own."""
    seen = {item.name for item in read_requirements(toolchain.requirements)}
    waiting = list(toolchain.borrows)
    while waiting:
        name = canonical(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except PackageNotFoundError:
            if name in map(canonical, toolchain.borrows):
                raise EdgekitError(
                    f"{toolchain.title} needs the package {name}",
                    cause="edgekit's own environment does not have it",
                    hint=f"pip install {name}",
                ) from None
            continue  # for another system, or optional
        yield found
        asked = [text for text in found.requires or () if "extra ==" not in text]
        waiting += [named[0] for text in asked if (named := re.match(r"[\w.-]+", text))]


def _places(distribution: Distribution) -> list[Path]:
    """The files and folders of a distribution that are on the path.

    Raises:
        EdgekitError: it is a link to a source folder itself.
    """
    names = {file.parts[0] for file in distribution.files or ()}
    skipped = {"..", "__pycache__", "/"}
    found = [
        Path(str(distribution.locate_file(name)))
        for name in sorted(names - skipped)
        if not name.endswith(".pth")
    ]
    if not any(not place.name.endswith((".dist-info", ".egg-info")) for place in found):
        name = distribution.metadata["Name"]
        raise EdgekitError(
            f"the package {name} cannot be lent",
            cause="it is not installed as plain files",
            hint=f"pip install --force-reinstall --no-deps {name}",
        )
    return found


def _link(source: Path, place: Path) -> None:
    if place.exists():  # a folder that several distributions share, such as nvidia
        return
    try:
        place.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:  # Windows allows links to administrators only
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True)
        else:
            shutil.copy2(source, place)
