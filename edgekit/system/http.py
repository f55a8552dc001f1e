"""HTTP downloads that go on where they broke off (RFC 9110, sections 13 and 14).

`Part` is what has arrived so far; each call of a `Receiver` tries to get the rest. How often to
try, and what a finished file must be, is decided in `edgekit.system.download`.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from edgekit.errors import EdgekitError
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.version import __version__

if TYPE_CHECKING:
    from requests import Response, Session

CHUNK = 1 << 16  # bytes read at once
SLOWEST = 1000  # bytes a second; below that the connection counts as hung
CONNECT = 10.0  # seconds that a server may take to accept a connection
LONGEST_WAIT = 60.0  # seconds, whatever a server's Retry-After asks for
REDIRECTS = 10
BUSY = {408, 425, 429, 500, 502, 503, 504}  # statuses that may pass


class TransferError(Exception):
    """A failure that another attempt may not meet.

    Args:
        cause: what happened.
        wait: seconds that the server asks to wait.
        unreached: the host that could not even be reached, if that is what happened.
    """

    def __init__(self, cause: str, *, wait: float = 0.0, unreached: str = "") -> None:
        super().__init__(cause)
        self.wait = wait
        self.unreached = unreached


class Part:
    """What has arrived so far of a file, and beside it what it is the beginning of.

    Attributes:
        path: ``NAME.part``.
        validator: what the server calls these bytes (ETag or date); empty where it does not, so
            that they cannot be added to.
        total: how long the file shall be in the end, if that is known.
        resumed: whether it was put together from several answers.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path.with_name(path.name + ".part")
        self.validator, self.total = "", None
        self.resumed = False
        self._url = shown(url)
        self._record = path.with_name(path.name + ".part.json")
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = read_json(self._record)
            if record["url"] == self._url:
                self.validator, self.total = str(record["validator"]), record["total"]

    @property
    def size(self) -> int:
        """Bytes that can be added to."""
        with suppress(OSError):
            return self.path.stat().st_size if self.validator else 0
        return 0

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.size > 0 and self.size == self.total

    def begin(self, validator: str, total: int | None) -> None:
        """Starts again, with the file that the server calls ``validator``."""
        self.drop()
        self.resumed, self.validator, self.total = False, validator, total
        write_json(self._record, {"url": self._url, "validator": validator, "total": total})

    def drop(self) -> None:
        """Deletes it."""
        self.validator = ""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)


@dataclass(frozen=True)
class Receiver:
    """Gets what is missing of a part, one attempt per call.

    Attributes:
        url: where the file is.
        part: what has arrived of it.
        size: its length in bytes, if that is known for certain.
        most: how many bytes it may have at most, if that is known.
        progress: told how much has arrived, in megabytes.
        timeout: seconds that the server may be silent, or hardly send anything.
    """

    url: str
    part: Part
    size: int | None
    most: int | None
    progress: Progress | None
    timeout: float

    def __call__(self) -> None:
        """Returns when the part is as long as it must be.

        Raises:
            TransferError: another attempt may help.
            EdgekitError: it would not.
            OSError: the part cannot be written.
        """
        from requests import Session

        part = self.part
        if part.whole:
            part.resumed = True
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": f"edgekit/{__version__}"}
        if part.size:
            headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
        with Session() as session, _ask(session, self.url, headers, self.timeout) as response:
            done, total = self._agree(response)
            with part.path.open("ab" if done else "wb") as file:
                for chunk in _chunks(response, self.timeout):
                    done += len(chunk)
                    if self.most is not None and done > self.most:
                        part.drop()
                        raise self._refused(f"it sends more than {self.most:,} bytes")
                    file.write(chunk)
                    self._tell(done, total)
        if total is not None and done != total:
            raise TransferError(f"the connection broke off after {done:,} of {total:,} bytes")
        if self.size is not None and done != self.size:
            part.drop()
            raise self._refused(f"it sends {done:,} bytes instead of {self.size:,}")

    def _agree(self, response: Response) -> tuple[int, int | None]:
        """Finds out where the body starts, and how long the file shall be in the end."""
        part, headers, status = self.part, response.headers, response.status_code
        host, said = host_of(response.url), f"{response.status_code} {response.reason or ''}"
        if status in BUSY:
            wait = headers.get("Retry-After", "")
            seconds = min(float(wait), LONGEST_WAIT) if wait.isdecimal() else 0.0
            raise TransferError(f"{host} answers {said}", wait=seconds)
        if status == 416 and part.size:
            part.drop()
            raise TransferError("the file on the server is shorter than what has arrived of it")
        if status != 200 and not (status == 206 and part.size):
            raise self._refused(f"{host} answers {said}")
        if headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
            raise self._refused(f"{host} sends a web page instead of the file")
        # A body that was compressed on the way has another length, and cannot be cut to pieces.
        encoded = headers.get("Content-Encoding", "identity").lower() not in ("", "identity")
        if status == 206:
            return self._agree_to_go_on(response, encoded)
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() and not encoded else None
        self._check(total)
        part.begin("" if encoded else _validator(response), total)
        return 0, total

    def _agree_to_go_on(self, response: Response, encoded: bool) -> tuple[int, int | None]:
        part = self.part
        content_range = response.headers.get("Content-Range", "").strip()
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        total = int(match[2]) if match and match[2] != "*" else part.total
        fits = match is not None and int(match[1]) == part.size and not encoded
        # A server may leave the validator out of the answer to If-Range, but not change it.
        same = _validator(response) in ("", part.validator) and part.total in (None, total)
        if not fits or not same:
            part.drop()
            raise TransferError("the server goes on with another file, or at another place")
        self._check(total)
        part.resumed = True
        return part.size, total

    def _check(self, total: int | None) -> None:
        if total is None:
            return
        if self.size is not None and total != self.size:
            raise self._refused(f"it has {total:,} bytes there instead of {self.size:,}")
        if self.most is not None and total > self.most:
            raise self._refused(f"it has {total:,} bytes there, {self.most:,} would be plausible")

    def _refused(self, cause: str) -> EdgekitError:
        return EdgekitError(f"cannot download {shown(self.url)}", cause=cause)

    def _tell(self, done: int, total: int | None) -> None:
        if self.progress is not None:
            whole = total if total is not None else self.size or 0
            name = self.part.path.name.removesuffix(".part")
            self.progress(f"download {name}, MB", -(-done // 10**6), -(-whole // 10**6))


def shown(url: str) -> str:
    """The address as it may be printed and kept: without a name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def host_of(url: str) -> str:
    """The host of an address, for messages."""
    return urlsplit(url).hostname or url


def is_loopback(url: str) -> bool:
    """Whether an address is of this machine itself."""
    host = host_of(url)
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _ask(session: Session, url: str, headers: dict[str, str], timeout: float) -> Response:
    """Sends the request, and follows redirects one by one, so that each can be refused."""
    import requests
    from urllib3.exceptions import ProtocolError

    limits = (min(timeout, CONNECT), timeout)
    try:
        for _ in range(REDIRECTS + 1):
            request = session.prepare_request(requests.Request("GET", url, headers))
            settings = session.merge_environment_settings(url, {}, True, None, None)
            # Not session.send, which reads the whole body of a redirect.
            response = session.get_adapter(url).send(request, timeout=limits, **settings)
            target = session.get_redirect_target(response)
            if target is None:
                return response
            response.close()
            url = _redirected(url, target)
    except requests.ReadTimeout:
        raise TransferError(f"{host_of(url)} does not answer within {timeout:g} s") from None
    except requests.ConnectionError as error:
        broke = bool(error.args) and isinstance(error.args[0], ProtocolError)
        raise TransferError(_reason(error), unreached="" if broke else host_of(url)) from None
    except requests.RequestException as error:
        raise EdgekitError(f"cannot download {shown(url)}", cause=_reason(error)) from None
    raise EdgekitError(f"cannot download {shown(url)}", cause=f"more than {REDIRECTS} redirects")


def _redirected(url: str, target: str) -> str:
    try:
        after = urljoin(url, target)
        schemes = (urlsplit(url).scheme, urlsplit(after).scheme)
    except ValueError:
        raise EdgekitError(
            f"cannot download {shown(url)}", cause=f"{host_of(url)} redirects to no address"
        ) from None
    if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
        raise EdgekitError(
            f"cannot download {shown(url)}",
            cause=f"{host_of(url)} redirects from {schemes[0]} to {schemes[1]}, which is not safe",
        )
    return after


def _chunks(response: Response, timeout: float) -> Iterator[bytes]:
    """The body as it arrives, without waiting for a chunk to fill up."""
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    since, count = time.monotonic(), 0
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=True):
            yield chunk
            count += len(chunk)
            elapsed = time.monotonic() - since
            if elapsed > timeout:
                if count < SLOWEST * elapsed:
                    raise TransferError(f"hardly anything came for {elapsed:.0f} s")
                since, count = time.monotonic(), 0
    except ReadTimeoutError:
        raise TransferError(f"nothing came for {timeout:g} s") from None
    except HTTPError as error:
        raise TransferError(f"the connection broke off ({_reason(error)})") from None


def _validator(response: Response) -> str:
    """What vouches for the same bytes (RFC 9110, 13.1.5): a strong ETag, or else the date."""
    etag = str(response.headers.get("ETag", ""))
    if etag and not etag.startswith("W/"):
        return etag
    return str(response.headers.get("Last-Modified", ""))


def _reason(error: BaseException) -> str:
    """The innermost of nested exceptions, which says what happened."""
    inner = getattr(error, "reason", None)
    if not isinstance(inner, BaseException):
        inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    if inner is not None:
        return _reason(inner)
    return re.sub(r"^(<.*?>|\w+\(.*?\)): ", "", str(error)) or type(error).__name__
