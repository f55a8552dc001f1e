"""What a delegate is: a library to which a TFLite runtime hands operators, for some accelerator."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from edgekit.errors import EdgekitError


class DelegateLibrary(ABC):
    """The library of an accelerator; a member of its target.

    Attributes:
        title: what messages call the accelerator.
        row: the same in a table.
        name: of the library, without its version.
        libraries: the usual name of the library on systems that have one of their own.
        linux: its name on Linux, and on other systems.
        hung: what to do where it does not answer; "" where nothing is known.
        help: what ``edgekit run --help`` adds to its name.
        library_help: of ``edgekit run --library``.
        device_help: of ``edgekit run`` for which of several accelerators.
        usb_ids: by which a device shows the accelerator, as ``VENDOR:PRODUCT``.
        device_files: likewise, a pattern of the shell.
        missing: what ``edgekit doctor`` says where it is attached without its library.
        install: the command that installs it.
    """

    title: ClassVar[str]
    row: ClassVar[str]
    name: ClassVar[str]
    libraries: ClassVar[Mapping[str, str]] = {}
    linux: ClassVar[str]
    hung: ClassVar[str] = ""
    help: ClassVar[str] = ""
    library_help: ClassVar[str] = "Path of the delegate's library. [the usual name]"
    device_help: ClassVar[str] = "Which accelerator. [any]"
    usb_ids: ClassVar[tuple[str, ...]] = ()
    device_files: ClassVar[str | None] = None
    missing: ClassVar[str] = "its accelerator is attached, and its library is not installed"
    install: ClassVar[str | None] = None

    @property
    def library(self) -> str:
        """The library's usual name on this system."""
        return self.libraries.get(platform.system(), self.linux)

    @abstractmethod
    def check_device(self, device: str) -> None:
        """Raises UsageError where ``device`` names no accelerator; "" is any."""

    @abstractmethod
    def failure(
        self, path: str, kind: str, cause: str, *, library: str | None, device: str
    ) -> EdgekitError | None:
        """Puts an error of the measuring agent into words; None where it is not the delegate's.

        Args:
            path: of the model.
            kind: library (it cannot be loaded), entry (it is another library), device (it finds
                none), or another.
            cause: the words of the library.
            library: its path.
            device: which one was asked for.
        """
