"""The Edge TPU's library, libedgetpu, as a delegate; no real Edge TPU could be tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from edgekit.errors import DeviceError, EdgekitError, MissingToolError, UsageError
from edgekit.targets.delegates import DelegateLibrary

_DEVICE = re.compile(r"(usb|pci)?(:\d+)?")
_TOO_OLD = re.compile(r"requires runtime version \((\d+)\).*this runtime version \((\d+)\)", re.S)


class EdgeTPUDelegate(DelegateLibrary):
    """Hands what the compiler has mapped to a Coral stick or card.

    A device is named as libedgetpu's option takes it: "" for any, ":N", "usb", "usb:N", "pci" or
    "pci:N".
    """

    title = "the Edge TPU"
    row = "Edge TPU"
    name = "libedgetpu"
    libraries: ClassVar[Mapping[str, str]] = {
        "Darwin": "libedgetpu.1.dylib",
        "Windows": "edgetpu.dll",
    }
    linux = "libedgetpu.so.1"
    hung = "unplug the Edge TPU and plug it in again"
    help = " (not verified on a real Edge TPU)"
    library_help = "libedgetpu's path. [the usual name]"
    device_help = "Which Edge TPU: usb, usb:N, pci or pci:N. [any]"
    usb_ids = ("1a6e:089a", "18d1:9302")  # before and after its firmware is loaded
    device_files = "/dev/apex_*"
    missing = (
        "an Edge TPU is attached, and its library is not installed. The package is in Google's "
        "Coral repository (coral.ai/docs/accelerator/get-started); it was built for an older "
        "TensorFlow, and newer runtimes may refuse it"
    )
    install = "sudo apt-get install libedgetpu1-std"

    def check_device(self, device: str) -> None:
        """Raises UsageError where ``device`` names no Edge TPU."""
        if not _DEVICE.fullmatch(device):
            raise UsageError(
                f"'{device}' names no Edge TPU",
                hint="usb, usb:N, pci, pci:N or :N with N counted from 0, or nothing for any",
            )

    def failure(
        self, path: str, kind: str, cause: str, *, library: str | None, device: str
    ) -> EdgekitError | None:
        """Puts an error of the library, or of the device behind it, into words."""
        if kind == "library":
            return MissingToolError(
                "the Edge TPU's library cannot be loaded",
                cause=cause,
                hint="install the package libedgetpu1-std (Debian, Raspberry Pi OS) from Google's "
                "Coral repository, or `edgekit run --library PATH`",
            )
        if kind == "entry":
            return UsageError(
                f"{library} is not the Edge TPU's library",
                cause=cause,
                hint="`edgekit run --library PATH` names another file",
            )
        if kind == "device":
            return DeviceError(
                f"no Edge TPU could be opened ({device or 'any'})",
                cause=cause,
                hint="is it plugged in, may this user open it (libedgetpu's udev rule and the "
                "group plugdev), and does no other process use it?",
            )
        if versions := _TOO_OLD.search(cause):
            return MissingToolError(
                f"{path} needs runtime {versions[1]} of the Edge TPU, and here is {versions[2]}",
                cause=cause,
                hint=f"update libedgetpu, or edgekit compile --min-runtime-version {versions[2]}",
            )
        return None
