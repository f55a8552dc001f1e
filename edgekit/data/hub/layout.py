"""Which files of a data set hold photos, of which split: by its card, else by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from edgekit.data.hub.reference import DataReference
from edgekit.data.images import EXTENSIONS
from edgekit.data.split_folders import TEST, TRAIN, VAL, role_of
from edgekit.errors import UsageError, did_you_mean

PARQUET = ".parquet"
#: Lists of an image folder: the columns beside ``file_name`` are those of its photos.
METADATA = ("metadata.csv", "metadata.jsonl")
#: Where the hub keeps what it made of data sets whose own files are something else.
CONVERTED = "refs/convert/parquet"
DEFAULT = "default"
#: What a hub calls the parts of a data set, by what they are here.
_NAMES = {TRAIN: "train", VAL: "validation", TEST: "test"}


@dataclass(frozen=True)
class DataLayout:
    """The files of a data set that are read.

    Attributes:
        splits: the files of each split, by its name.
        metadata: lists of an image folder.
        config: which of several data sets of the repository; None where it has one.
    """

    splits: Mapping[str, tuple[str, ...]]
    metadata: tuple[str, ...]
    config: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """All that has to be received."""
        return (*(name for files in self.splits.values() for name in files), *self.metadata)


def find_data_layout(
    reference: DataReference, names: Iterable[str], card: Mapping[str, Any]
) -> DataLayout:
    """Finds what is read of a data set.

    Args:
        reference: which part of it.
        names: of all its files.
        card: the metadata of its card.

    Raises:
        UsageError: there is no such part, several could be meant, or no file can be read.
    """
    known = sorted(names)
    photos = [name for name in known if PurePosixPath(name).suffix.lower() in EXTENSIONS]
    shards = [name for name in known if name.endswith(PARQUET)]
    used = shards or photos
    if not used:
        raise _unreadable(reference, known)
    configs = _configs(card)
    read = _said(reference, configs, used) if configs else _by_names(reference, used)
    splits, config = read
    if reference.split is not None:
        if reference.split not in splits:
            raise UsageError(
                f"{reference} has no such split",
                hint=did_you_mean(reference.split, splits),
            )
        splits = {reference.split: splits[reference.split]}
    metadata = [name for name in known if PurePosixPath(name).name in METADATA]
    return DataLayout(splits, () if shards else tuple(metadata), config)


def _configs(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a card says of its configurations.

    The form: huggingface.co/docs/hub/datasets-manual-configuration.
    """
    said = card.get("configs")
    found = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return [one for one in found if one.get("data_files")]


def _said(
    reference: DataReference, configs: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], str | None]:
    """The splits of the configuration that is meant, and its name."""
    by_name = {str(one.get("config_name", DEFAULT)): one for one in configs}
    marked = next((name for name, one in by_name.items() if one.get("default")), None)
    chosen = reference.config or marked or (DEFAULT if DEFAULT in by_name else None)
    if chosen is None and len(by_name) == 1:
        chosen = next(iter(by_name))
    if chosen not in by_name:
        raise _no_config(reference, by_name)
    folder = str(by_name[chosen].get("data_dir") or "")
    splits: dict[str, tuple[str, ...]] = {}
    for split, patterns in _data_files(by_name[chosen]["data_files"]).items():
        rules = [_pattern(f"{folder}/{one}".lstrip("/")) for one in patterns]
        found = tuple(name for name in names if any(rule.fullmatch(name) for rule in rules))
        if found:
            splits[split] = found
    if not splits:
        raise UsageError(
            f"the card of {reference} names files that it does not have",
            cause=f"of its configuration {chosen}",
        )
    return splits, chosen


def _data_files(said: Any) -> dict[str, list[str]]:
    """Patterns by split, in any of the forms that a card may have."""
    if isinstance(said, list) and all(isinstance(one, dict) for one in said):
        pairs = [(str(one.get("split", _NAMES[TRAIN])), one.get("path", [])) for one in said]
    elif isinstance(said, dict):
        pairs = [(str(split), paths) for split, paths in said.items()]
    else:
        pairs = [(_NAMES[TRAIN], said)]
    return {s: [p] if isinstance(p, str) else [str(one) for one in p] for s, p in pairs}


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob of a card: ``*`` within a folder, ``**`` through folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    words = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(parts.get(word, re.escape(word)) for word in words))


def _by_names(
    reference: DataReference, names: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], str | None]:
    """The splits of files whose folders or names say it, else all for training; and whose."""
    chosen = None
    if reference.config is not None or reference.revision == CONVERTED:
        configs = dict.fromkeys(name.partition("/")[0] for name in names if "/" in name)
        chosen = reference.config or (DEFAULT if DEFAULT in configs else None)
        if chosen is None and len(configs) == 1:
            chosen = next(iter(configs))
        if chosen not in configs:
            raise _no_config(reference, configs)
        names = [name for name in names if name.startswith(f"{chosen}/")]
    splits: dict[str, list[str]] = {}
    for name in names:
        splits.setdefault(_split_of(name), []).append(name)
    return {split: tuple(found) for split, found in splits.items()}, chosen


def _split_of(name: str) -> str:
    path = PurePosixPath(name)
    # The name of a photo says nothing of its split, that of a shard may.
    parts = [*path.parts[:-1], path.stem] if path.suffix == PARQUET else [*path.parts[:-1]]
    roles = (role_of(part) for part in parts)
    return next((_NAMES[role] for role in roles if role in _NAMES), _NAMES[TRAIN])


def _no_config(reference: DataReference, known: Iterable[str]) -> UsageError:
    names = sorted(known)
    wanted = (
        f"no configuration {reference.config}" if reference.config else "several configurations"
    )
    return UsageError(
        f"{reference} has {wanted}",
        cause=f"it has {', '.join(names[:8])}{', …' if len(names) > 8 else ''}",
        hint=f"{DataReference(reference.repository, reference.revision, names[0])}"
        if names
        else None,
    )


def _unreadable(reference: DataReference, names: Sequence[str]) -> UsageError:
    kinds = sorted({PurePosixPath(name).suffix.lower() or name for name in names})
    return UsageError(
        f"{reference} holds nothing that is read",
        cause=f"neither photos nor {PARQUET}, but {', '.join(kinds[:8]) or 'no file'}; a program "
        "of a data set is never run",
        hint=f"hf://datasets/{reference.repository}@{CONVERTED}, where the hub may keep it as "
        "parquet; or download it, and give its folder",
    )
