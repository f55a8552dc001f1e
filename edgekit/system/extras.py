"""Packages that a plain installation lacks: imported without their start-up lines, or named."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from edgekit.errors import MissingToolError
from edgekit.system.quiet import native_quiet

#: The last Python that an extra's packages are built for, where that is not the newest one: the
#: extra's marker in pyproject.toml leaves them out on later ones.
NEWEST_PYTHONS = {"tensorflow": (3, 13)}


def import_optional(name: str, extra: str | None = None, what: str = "this") -> Any:
    """Imports a package that need not be installed.

    Args:
        name: of the package, or of a module in it.
        extra: of ours that installs it; None: it is installed by its own name.
        what: what needs it, for the message.

    Raises:
        MissingToolError: it is not installed, or does not fit the rest of the installation.
    """
    try:
        with native_quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except (ImportError, RuntimeError, AttributeError) as error:
        # RuntimeError: torchvision that was built for another torch. AttributeError: a library
        # that was built for another NumPy.
        raise missing(extra, name, error, what) from error


def require(extra: str, *packages: str, what: str = "this") -> None:
    """Demands the packages of an extra, without importing them.

    Raises:
        MissingToolError: one is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise missing(extra, package, ModuleNotFoundError(name=package), what)


def missing_of_ours(error: ModuleNotFoundError) -> MissingToolError | None:
    """The error for a package that every installation has; None: the module is one of edgekit.

    Pip passes over what is there, so that the command installs what is missing alone.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "edgekit"):
        return None
    return MissingToolError(
        f"this needs the package {package}",
        cause="it is not installed, though a plain installation brings it",
        hint="pip install edgekit",
    )


def missing(
    extra: str | None,
    name: str,
    error: Exception,
    what: str = "this",
    python: tuple[int, int] = sys.version_info[:2],
) -> MissingToolError:
    """The error for a package that cannot be imported, with the command that installs it."""
    if isinstance(error, ModuleNotFoundError):
        # Keras, for example, is installed, and its backend is not.
        name, cause = error.name or name, "it is not installed"
    else:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        cause = f"it cannot be imported: {first[:200]}"
    package = name.partition(".")[0]
    command = f'pip install "edgekit[{extra}]"' if extra else f"pip install {package}"
    newest = NEWEST_PYTHONS.get(extra or "")
    if newest and python > newest:
        cause += f", and has no build for Python {python[0]}.{python[1]}"
        command = f"an environment of Python {newest[0]}.{newest[1]}, and there {command}"
    return MissingToolError(f"{what} needs the package {package}", cause=cause, hint=command)
