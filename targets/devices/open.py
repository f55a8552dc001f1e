"""Opens a device by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgekit.data.photo_files import printable
from edgekit.errors import UsageError
from edgekit.targets.devices.hosts import Host, LocalHost

HOST = "local:"


@contextmanager
def open_host(url: str | None) -> Iterator[Host]:
    """Gives the host at a URL while the body runs, or this machine without one.

    Args:
        url: ``local:``, ``ssh://[user@]host[:port]``, ``adb://SERIAL``, or ``adb:`` for the only
            one attached.

    Raises:
        UsageError: it is no URL of that kind.
        DeviceError: the host cannot be used.
    """
    if url is None or url == HOST:
        yield LocalHost()
        return
    if url.startswith("adb:"):
        from edgekit.targets.devices.adb import ADBHost, parse_serial

        with ADBHost(parse_serial(url)) as phone:
            yield phone
        return
    from edgekit.targets.devices.address import parse_url
    from edgekit.targets.devices.ssh import SSHHost

    with SSHHost(parse_url(url)) as host:
        yield host


def check_url(url: str) -> None:
    """Raises UsageError unless a URL has the form of a device's."""
    if url.startswith("ssh:"):
        from edgekit.targets.devices.address import parse_url

        parse_url(url)
    elif url.startswith("adb:"):
        from edgekit.targets.devices.adb import parse_serial

        parse_serial(url)
    elif url != HOST:
        raise UsageError(
            f"'{printable(url)}' is no device",
            hint="ssh://[user@]host[:port], adb://SERIAL, adb: for the only phone attached, or "
            "local:; where OpenVINO computes is `edgekit bench --openvino-device`, where torch "
            "does `edgekit build --torch-device`",
        )
