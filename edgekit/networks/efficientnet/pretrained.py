"""The official ImageNet weights: where they are, and a cache of those that were fetched.

`fetch` hands out a file whose hash is right, or none. Where only the first digits of a hash are
published, the first download is trusted: its whole SHA-256 is recorded beside it, and whatever
comes later must match.

Environment variables: EDGEKIT_CACHE names another cache folder, EDGEKIT_OFFLINE=1 forbids the
network, EDGEKIT_MIRROR is an address or a folder under which the same file names lie.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.system.console import Progress
from edgekit.system.download import (
    PATIENCE,
    Checksum,
    Patience,
    download,
    is_offline,
    locked,
    writing,
)
from edgekit.system.files import cache_folder, read_json, write_json
from edgekit.system.hashing import file_hash
from edgekit.system.http import is_loopback, shown
from edgekit.system.text import size as readable_size

REGISTRY = Path(__file__).with_name("pretrained.json")
SLACK = 1 << 24  # bytes that a weights file may have besides twice its tensors


@dataclass(frozen=True)
class Pretrained:
    """One row of the registry.

    Attributes:
        model: the variant.
        url: where its publisher offers the file.
        file: the file's name, there and in the cache.
        size: bytes as published, or None. Nothing is refused for it: the hash decides.
        hash: ``sha256:…`` or ``md5:…``, in full or the first digits, or None.
        source: whose names and layouts the file uses, as `converters.weights.load_weights` calls
            it.
        licence: of the repository that published it.
        classes: outputs of the classifier.
        note: what it was trained on, and how.
        page: where these facts are from.
    """

    model: str
    url: str
    file: str
    size: int | None
    hash: str | None
    source: str
    licence: str
    classes: int
    note: str
    page: str

    @property
    def checksum(self) -> Checksum | None:
        """What the publisher says that the file hashes to."""
        return Checksum.parse(self.hash, "its publisher") if self.hash else None

    @property
    def pinned(self) -> bool:
        """Whether the whole hash is published, so that nothing has to be trusted on first use."""
        return self.checksum is not None and self.checksum.complete

    @property
    def hash_kind(self) -> str:
        """How much is known of the hash, in words."""
        if self.checksum is None:
            return "none: trusted on first use"
        kind = self.checksum.algorithm
        return kind if self.pinned else f"{kind} prefix: trusted on first use"

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the model's tensors in float32: what the file must hold at least."""
        from edgekit.networks.efficientnet.architecture import build_graph

        graph = build_graph(SPECS[self.model], classes=self.classes, seed=None)
        return 4 * sum(array.size for array in graph.weights.values())

    @property
    def readable_size(self) -> str:
        """The size for people; one estimated from the number of parameters is called so."""
        if self.size is not None:
            return readable_size(self.size)
        return f"about {readable_size(self.tensor_bytes)} (estimated)"


def find(model_name: str) -> Pretrained:
    """Looks up the official weights of a variant, by the names that `find_spec` takes.

    Raises:
        UsageError: no such variant, or none are known for it.
    """
    model, known = find_spec(model_name).name, _registry()
    if model not in known:
        raise UsageError(
            f"no ImageNet weights are known for {model}", hint=did_you_mean(model, known)
        )
    return known[model]


def registry() -> list[Pretrained]:
    """All official weights that are known, in the order of the variants."""
    return [row for model in SPECS if (row := _registry().get(model))]


def cached(model: str) -> Path | None:
    """The cached file of a variant, or None; `fetch` would check its hash, this does not."""
    path = cache_folder() / find(model).file
    return path if path.is_file() else None


def fetch(
    model: str,
    *,
    mirror: str | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    patience: Patience = PATIENCE,
) -> Path:
    """Returns the official weights of a variant, downloaded unless they are in the cache.

    Args:
        model: its name.
        mirror: an address (https, http, file) or a folder under which the same file names lie,
            instead of the publisher's; by default EDGEKIT_MIRROR. Hashes are checked all the same.
            Plain http can be changed on the way, so except from this machine itself it is taken
            only where the whole hash is known already.
        progress: told how much has arrived.
        note: told what is good to know: size and licence, a damaged file, a hash that is trusted.
        patience: how long the server is waited for.

    Raises:
        UsageError: no such variant or mirror.
        EdgekitError: the file is neither cached nor to be had, or is not the right one.
    """
    weights, say = find(model), note or (lambda text: None)
    path = cache_folder() / weights.file
    if _state(weights, path) == "good":  # asks for no lock, so that a read-only cache will do
        return path
    with locked(path, progress):
        state = _state(weights, path)  # another process may have been faster
        if state == "new":  # someone put it there
            _record(weights, path, file_hash(path, "sha256"), str(path), say)
        elif state != "good":
            if state == "bad":
                say(f"{path} is damaged, or not the right file: fetching it again")
            url = _address(weights, path, mirror)
            _check_disk(weights, path)
            what = f"weights of {weights.model}, {weights.readable_size}, {weights.licence}"
            say(f"fetching the {what}, from {shown(url)}")
            sha256 = _download(weights, path, url, progress, patience)
            _record(weights, path, sha256, url, say)
    return path


@cache
def _registry() -> dict[str, Pretrained]:
    rows = [Pretrained(**row) for row in read_json(REGISTRY)["weights"]]
    return {row.model: row for row in rows}


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _expected(weights: Pretrained, path: Path) -> Checksum | None:
    """What the file must hash to: as published, or as recorded on first use."""
    if weights.pinned:
        return weights.checksum
    with suppress(OSError, ValueError, KeyError, TypeError):
        sha256 = str(read_json(_record_path(path))["sha256"])
        published = weights.checksum
        # A newer edgekit may know another file by the same name: the old record says nothing then.
        if len(sha256) == 64 and (published is None or sha256.startswith(published.digest)):
            return Checksum(
                "sha256", sha256, f"the record of the first download, {_record_path(path)}"
            )
    return weights.checksum


def _state(weights: Pretrained, path: Path) -> Literal["missing", "bad", "new", "good"]:
    """What the cache holds; new is a file that nothing speaks against, but no record for."""
    if not path.is_file():
        return "missing"
    checksum = _expected(weights, path)
    try:
        if checksum is not None and not checksum.matches(path):
            return "bad"
    except OSError:
        return "bad"
    return "good" if checksum is not None and checksum.complete else "new"


def _record(
    weights: Pretrained, path: Path, sha256: str, url: str, say: Callable[[str], None]
) -> None:
    """Writes down what is trusted from now on, unless that was known before."""
    checksum = _expected(weights, path)
    if checksum is not None and checksum.complete:
        return
    record = _record_path(path)
    with writing(path.parent):
        write_json(record, {"file": path.name, "sha256": sha256, "url": shown(url)})
    known = f"the first {len(checksum.digest)} digits of its" if checksum else "no"
    say(
        f"{path.name} is trusted on first use: {known} SHA-256 is published; all of it, {sha256}, "
        f"is recorded in {record} and must match from now on"
    )


def _address(weights: Pretrained, path: Path, mirror: str | None) -> str:
    """Where to get the file from, if it may be got at all.

    Raises:
        UsageError: the mirror is not an address.
        EdgekitError: it cannot be trusted, or the network is forbidden.
    """
    mirror = mirror or os.environ.get("EDGEKIT_MIRROR")
    url = weights.url if not mirror else _mirrored(mirror, weights.file)
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return url
    if is_offline():
        raise EdgekitError(
            f"the ImageNet weights of {weights.model} are not in the cache",
            cause="EDGEKIT_OFFLINE forbids the network",
            hint=_by_hand(weights, path),
        )
    known = _expected(weights, path)
    if scheme == "http" and not is_loopback(url) and (known is None or not known.complete):
        raise EdgekitError(
            f"{weights.file} is not fetched over plain http",
            cause="its whole hash is not known, so nothing would show that it was changed on the "
            "way",
            hint="an https mirror, or a folder",
        )
    return url


def _mirrored(mirror: str, file: str) -> str:
    with suppress(ValueError):
        if urlsplit(mirror).scheme in ("http", "https", "file"):
            return mirror.rstrip("/") + "/" + quote(file)
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"the mirror {mirror} is neither an address nor a folder",
            hint="https://…, file:///… or a folder that holds the weight files",
        )
    return (folder.resolve() / file).as_uri()


def _check_disk(weights: Pretrained, path: Path) -> None:
    needed = weights.size or weights.tensor_bytes
    with suppress(OSError):  # then writing will tell
        needed -= path.with_name(path.name + ".part").stat().st_size
    with writing(path.parent):
        free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise EdgekitError(
            f"the disk with {path.parent} is too full for the weights of {weights.model}",
            cause=f"{weights.readable_size}, and {readable_size(free)} are free",
            hint="name another folder in the environment variable EDGEKIT_CACHE",
        )


def _download(
    weights: Pretrained, path: Path, url: str, progress: Progress | None, patience: Patience
) -> str:
    checksum = _expected(weights, path)
    try:
        return download(
            url,
            path,
            checksum=checksum,
            limit_bytes=2 * max(weights.tensor_bytes, weights.size or 0) + SLACK,
            progress=progress,
            patience=patience,
        )
    except EdgekitError as error:
        if error.hint:
            raise
        raise EdgekitError(
            error.message, cause=error.cause, hint=_by_hand(weights, path)
        ) from error


def _by_hand(weights: Pretrained, path: Path) -> str:
    return (
        f"download {weights.url} elsewhere and put it at {path}; or name a mirror in "
        "EDGEKIT_MIRROR; or `edgekit build --weights FILE`; or `edgekit build --weights none`"
    )
