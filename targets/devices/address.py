"""Where a host is that is reached over SSH, as users write it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from edgekit.errors import UsageError

_URL = re.compile(
    r"ssh://(?:(?P<user>[^\s@:/?#]+)@)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>\w[\w.-]*))"
    r"(?::(?P<port>\d+))?/?",
    re.ASCII,
)


@dataclass(frozen=True)
class Address:
    """Where a host is; what is None is left to ``~/.ssh/config``.

    Attributes:
        host: its name, its address, or its alias in ``~/.ssh/config``.
    """

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")

    @property
    def command(self) -> str:
        """What a user types to log in there."""
        port = ["-p", str(self.port)] if self.port else []
        host = f"{self.user}@{self.host}" if self.user else self.host
        return shlex.join(["ssh", *port, host])


def parse_url(url: str) -> Address:
    """Reads ``ssh://[user@]host[:port]``.

    Raises:
        UsageError: it has another form, or a password in it.
    """
    match = _URL.fullmatch(url)
    port = int(match["port"]) if match and match["port"] else None
    if match and (port is None or 0 < port < 65536):
        return Address(match["ipv6"] or match["host"], match["user"], port)
    if match:
        cause = f"there is no port {port}"
    elif not url.startswith("ssh://"):
        cause = "it does not begin with ssh://"
    elif re.match(r"ssh://[^/@]*:[^/]*@", url):
        cause = "a password has no place in it; log in with a key"
    else:
        cause = "host and port are not to be found in it"
    shown = re.sub(r":[^/@]*@", ":...@", url)  # a password is not repeated
    raise UsageError(
        f"'{shown}' is no address of a host", cause=cause, hint="ssh://[user@]host[:port]"
    )
