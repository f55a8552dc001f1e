"""Weights of a repository on a model hub: ``model.safetensors``, with ``config.json`` beside it.

What is received once is reused: `record` has the commit and the SHA-256 of each file, and
whatever comes later under the same name must match. No other format is taken, as the others of a
hub are pickles.

Environment variables: HF_ENDPOINT or EDGEKIT_MIRROR name another server that speaks the hub's
protocol, the latter also a folder; EDGEKIT_OFFLINE=1 forbids the network; HF_TOKEN logs in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.hub.record import (
    Record,
    read_record,
    record_path,
    write_record,
)
from edgekit.networks.efficientnet.hub.reference import (
    HubReference,
    check_architecture,
    check_known,
)
from edgekit.networks.efficientnet.hub.source import (
    CONFIG,
    WEIGHTS,
    check_network,
)
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.system.console import Progress
from edgekit.system.download import locked
from edgekit.system.extras import require
from edgekit.system.hashing import file_hash
from edgekit.system.http import host_of
from edgekit.system.hub.mirror import find_folder, find_mirror
from edgekit.system.hub.server import EXTRA, MAIN, PACKAGE, Hub, Repository, drop
from edgekit.system.records import decode_record

CONFIG_BYTES = 1 << 20
#: Of weights whose variant is not known: L2, the largest, has 1.9 GB.
MOST_BYTES = 4 << 30
SLACK = 1 << 24  # bytes that a weights file may have besides twice its tensors
MOST_CLASSES = 100_000
Say = Callable[[str], None]


@dataclass(frozen=True)
class HubFile:
    """Weights that are on this machine.

    Attributes:
        path: of ``model.safetensors``; ``config.json`` is beside it where there is one.
        url: where they are from, with the commit.
    """

    path: Path
    url: str


@dataclass(frozen=True)
class _Order:
    """What is to be received, and who is told about it."""

    reference: HubReference
    spec: ModelSpec | None
    progress: Progress | None
    say: Say


def check_request(reference: HubReference, spec: ModelSpec, mirror: str | None = None) -> None:
    """Demands what fetching takes, and a variant that fits, as far as that is known beforehand.

    Raises:
        UsageError: the weights are of another variant, or the mirror is not one.
        MissingToolError: huggingface_hub is not installed.
    """
    if find_folder(find_mirror(mirror)) is None:
        require(EXTRA, PACKAGE, what="a model hub")
    check_known(reference, spec)


def fetch_from_hub(
    reference: HubReference,
    spec: ModelSpec | None = None,
    *,
    mirror: str | None = None,
    progress: Progress | None = None,
    note: Say | None = None,
) -> HubFile:
    """Returns the weights of a repository, received unless they are in the cache.

    Args:
        reference: the repository.
        spec: the variant that they must be of; None takes those of any.
        mirror: the address of a server that speaks the hub's protocol, or a folder with
            ``ORG/NAME/model.safetensors``; by default HF_ENDPOINT, or else EDGEKIT_MIRROR.
        progress: told how much has arrived.
        note: told what is good to know: commit, licence, hashes that are trusted.

    Raises:
        UsageError: no such repository, one without safetensors, or one of another variant.
        MissingToolError: huggingface_hub is not installed.
        EdgekitError: the files cannot be received, or are not the right ones.
    """
    order = _Order(reference, spec, progress, note or (lambda text: None))
    if reference.why:
        order.say(reference.why)
    server = find_mirror(mirror)
    folder = find_folder(server)
    if folder is not None:
        return _take(order, folder)
    hub = Hub.open(server)
    if found := _find_cached(order, hub):
        return found
    with locked(record_path(reference), progress):
        # Another process may have been faster.
        return _find_cached(order, hub) or _receive(order, hub)


def _find_cached(order: _Order, hub: Hub) -> HubFile | None:
    """What is in the cache; of a first use, only where the network is forbidden."""
    reference, record = order.reference, read_record(order.reference)
    if not record.sha256 and not hub.offline:
        return None
    revision = record.commit or reference.revision or MAIN
    weights = hub.cached(reference.repository, revision, WEIGHTS)
    if weights is None:
        return None
    hub.cached(reference.repository, revision, CONFIG)
    hashes = _hashes(weights)
    wrong = _differing(record, hashes)
    if wrong:
        order.say(f"{weights.with_name(wrong[0])} is damaged, or not the right file")
        return None
    _check_config(order, weights)
    commit = record.commit or weights.parent.name
    if not record.sha256:
        write_record(reference, Record(commit, hashes))
        why = "that of what another program has received"
        order.say(_recorded(reference, hashes, why))
    return HubFile(weights, hub.address(reference.repository, commit, WEIGHTS))


def _receive(order: _Order, hub: Hub) -> HubFile:
    reference, record = order.reference, read_record(order.reference)
    check_network(hub, reference, record)
    repository = hub.list_files(reference.repository, record.commit or reference.revision)
    _check_format(repository)
    config: Mapping[str, Any] = {}
    if CONFIG in repository.files:
        path = _receive_file(hub, repository, CONFIG, record, CONFIG_BYTES, None)
        config = _check_config(order, path)
    licence = repository.licence or _licence_in(config)
    order.say(
        f"fetching {repository.name} at {repository.commit} from {host_of(hub.endpoint)}; its "
        f"licence: {licence or f'neither its card nor its {CONFIG} names one'}"
    )
    limit = _most_bytes(order.spec, config)
    path = _receive_file(hub, repository, WEIGHTS, record, limit, order.progress)
    if not record.sha256:
        hashes = _hashes(path)
        write_record(reference, Record(repository.commit, hashes, licence))
        listed = repository.files[WEIGHTS].sha256
        why = "as the hub lists it" if listed else "trusted on first use, as the hub lists none"
        order.say(_recorded(reference, hashes, why))
    return HubFile(path, hub.address(repository.name, repository.commit, WEIGHTS))


def _receive_file(
    hub: Hub,
    repository: Repository,
    name: str,
    record: Record,
    limit_bytes: int,
    progress: Progress | None,
) -> Path:
    """One file, whose hash is right; what is in the cache and is not right is received again."""
    expected = record.sha256.get(name) or repository.files[name].sha256
    known = hub.cached(repository.name, repository.commit, name)
    if known is not None and (expected is None or file_hash(known) != expected):
        drop(known)
    path = hub.receive(repository, name, limit_bytes=limit_bytes, progress=progress)
    found = file_hash(path)
    if expected is not None and found != expected:
        drop(path)
        said = "the record of its first use" if name in record.sha256 else "the hub's own list"
        raise EdgekitError(
            f"what arrived is not the right {name} of {repository.name}, and was deleted",
            cause=f"its sha256 is {found}, but {expected} by {said}",
        )
    return path


def _take(order: _Order, folder: Path) -> HubFile:
    """The weights in a folder of repositories, where they are."""
    reference, record = order.reference, read_record(order.reference)
    path = folder / reference.repository / WEIGHTS
    if not path.is_file():
        raise UsageError(
            f"the mirror {folder} does not hold {reference.repository}",
            cause=f"there is no {path}",
            hint=f"a folder with {reference.repository}/{WEIGHTS} and {CONFIG} beside it",
        )
    _check_config(order, path)
    hashes = _hashes(path)
    wrong = _differing(record, hashes)
    if wrong:
        raise EdgekitError(
            f"{path.with_name(wrong[0])} is not the right file",
            cause=f"its sha256 is not the one that {record_path(reference)} has since first use",
        )
    if not record.sha256:
        write_record(reference, Record(None, hashes))
        why = "trusted on first use, as a folder does not say which commit it holds"
        order.say(_recorded(reference, hashes, why))
    return HubFile(path, path.absolute().as_uri())


def _hashes(weights: Path) -> dict[str, str]:
    paths = (weights, weights.with_name(CONFIG))
    return {path.name: file_hash(path) for path in paths if path.is_file()}


def _differing(record: Record, hashes: Mapping[str, str]) -> list[str]:
    """The files that are not those of their first use."""
    return [name for name, sha256 in record.sha256.items() if hashes.get(name) != sha256]


def _recorded(reference: HubReference, hashes: Mapping[str, str], why: str) -> str:
    return (
        f"the sha256 of {WEIGHTS}, {hashes[WEIGHTS]}, is {why}; it is recorded in "
        f"{record_path(reference)} and must match from now on"
    )


def _check_config(order: _Order, beside: Path) -> Mapping[str, Any]:
    """Reads what a repository says of its weights, and demands that they fit the variant.

    Raises:
        UsageError: they do not, or ``config.json`` is not JSON.
    """
    path = beside.with_name(CONFIG)
    if not path.is_file():
        return {}
    try:
        config = decode_record(path.read_bytes(), dict[str, Any])
    except ValueError as error:
        raise UsageError(
            f"the {CONFIG} of {order.reference} cannot be used", cause=str(error)[:300]
        ) from error
    architecture = config.get("architecture")
    if order.spec is not None and isinstance(architecture, str):
        check_architecture(order.reference, architecture, order.spec)
    return config


def _licence_in(config: Mapping[str, Any]) -> str | None:
    """The licence that timm writes beside the preprocessing, or None."""
    record = config.get("pretrained_cfg")
    licence = record.get("license") if isinstance(record, dict) else None
    return licence if isinstance(licence, str) else None


def _check_format(repository: Repository) -> None:
    if WEIGHTS in repository.files:
        return
    others = [n for n in repository.files if n.endswith((".bin", ".pth", ".pt", ".ckpt", ".h5"))]
    held = f"it holds {', '.join(others[:3])}" if others else "it holds no weights"
    raise UsageError(
        f"the repository {repository.name} has no {WEIGHTS}",
        cause=f"{held}, and no other format of a hub is received: a pickle can run code",
        hint="another repository or revision; or download the file, and read its tensors alone "
        "with `edgekit build --weights FILE`",
    )


def _most_bytes(spec: ModelSpec | None, config: Mapping[str, Any]) -> int:
    if spec is None:
        return MOST_BYTES
    classes = config.get("num_classes")
    if not isinstance(classes, int) or not 0 < classes <= MOST_CLASSES:
        classes = None
    graph = build_graph(spec, classes=classes, seed=None)
    return 2 * 4 * sum(array.size for array in graph.weights.values()) + SLACK
