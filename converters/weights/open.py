"""Opens any file of weights: names and shapes first, one tensor at a time afterwards, no code run.

What a file is, its content says and not its suffix. Nothing as large as a tensor is allocated
before the caller has compared the shapes with those that it needs, so that a file that declares
terabytes costs nothing.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.converters.weights.file import WeightFile, reading
from edgekit.converters.weights.hdf5 import open_hdf5, open_keras
from edgekit.converters.weights.tf2 import OBJECTS, variable_names
from edgekit.converters.weights.torch_checkpoint import check_archive, open_torch
from edgekit.errors import UsageError
from edgekit.networks.nodes import Array
from edgekit.system.extras import import_optional, require
from edgekit.system.paths import StrPath
from edgekit.system.quiet import native_quiet

_CHECKPOINT = "a TensorFlow checkpoint"
KNOWN_FORMATS = f"safetensors, .pth, .h5, .weights.h5, .keras, or {_CHECKPOINT}"


@dataclass(frozen=True)
class Advice:
    """What a hint may name: how whoever asks for weights calls the options.

    The default is for Python; each command line hands in its own.

    Attributes:
        source: how to say whose names a file uses; ``{}`` is the source.
        raw: how to get the raw weights where there are averaged ones.
        classes: how to say the number of classes; None where it cannot be said: a network without
            a classifier then gets one of a single logit.
        random: how to do without a file; None where that makes no sense.
        decoder: how to say the channels of a decoder; ``{}`` are they.
    """

    source: str = "source='{}'"
    raw: str = "ema=False"
    classes: str | None = "classes=N"
    random: str | None = None
    decoder: str = "decoder='{}'"


PYTHON = Advice()


@contextlib.contextmanager
def open_weights(path: StrPath, *, limit: int, advice: Advice = PYTHON) -> Iterator[WeightFile]:
    """Opens a file, or a folder with one TensorFlow checkpoint.

    Args:
        path: safetensors, torch, HDF5 or ``.keras``, or a TensorFlow checkpoint (its prefix, one of
            its files, or its folder).
        limit: the most bytes that a compressed member may have once it is inflated.
        advice: what hints name.

    Raises:
        UsageError: it is missing, damaged, of no known format, or not safe to read.
        MissingToolError: it is a checkpoint, and TensorFlow is not installed.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        with reading(path):
            file = _open(path, stack, limit, advice)
        if not file.shapes:
            raise UsageError(f"the weights file {path} holds no tensors")
        yield file


def _open(path: Path, stack: contextlib.ExitStack, limit: int, advice: Advice) -> WeightFile:
    checkpoint = find_checkpoint(path)
    if checkpoint is not None:
        return _open_checkpoint(checkpoint)
    if not path.is_file():
        known = f"{KNOWN_FORMATS}; or {advice.random}" if advice.random else KNOWN_FORMATS
        raise UsageError(f"no weights file {path}", hint=known)
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return open_hdf5(path, stack)
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            if "model.weights.h5" not in archive.namelist():
                check_archive(path, archive)
                return open_torch(path, mmap=True)
        return open_keras(path, stack, limit)
    if start[8:9] == b"{":
        return _open_safetensors(path, stack)
    if start.startswith(b"\x80"):  # a pickle: how torch wrote before 1.6
        return open_torch(path, mmap=False)
    raise ValueError(f"its content is none of {KNOWN_FORMATS}")


def _open_safetensors(path: Path, stack: contextlib.ExitStack) -> WeightFile:
    from safetensors import safe_open

    # Through torch, which knows the half-precision types that numpy lacks. The library itself
    # refuses a header that is too large or whose offsets do not cover the file exactly.
    file = stack.enter_context(safe_open(path, framework="pt"))
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return WeightFile(
        path,
        "safetensors",
        shapes,
        lambda name: file.get_tensor(name).float().numpy(),
        file.metadata() or {},
    )


def find_checkpoint(path: StrPath) -> Path | None:
    """The prefix of a TensorFlow checkpoint, from it, from one of its files or from its folder.

    Raises:
        UsageError: the folder holds no checkpoint, or several and no word on which is meant.
    """
    path = Path(path)
    if path.is_dir():
        return _checkpoint_of_folder(path)
    name = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name)
    prefix = path.with_name(name)
    known = name != path.name or not path.exists()
    return prefix if known and prefix.with_name(f"{name}.index").is_file() else None


def check_reader(path: StrPath) -> None:
    """Demands what reads a file of weights, before anything is read.

    Raises:
        UsageError: as for `find_checkpoint`.
        MissingToolError: it is a TensorFlow checkpoint, and TensorFlow is not installed.
    """
    if find_checkpoint(path) is not None:
        require("tensorflow", "tensorflow", what=_CHECKPOINT)


def _checkpoint_of_folder(folder: Path) -> Path:
    latest = folder / "checkpoint"
    if latest.is_file():
        text = latest.read_text(encoding="utf-8", errors="replace")
        match = re.search(r'^model_checkpoint_path: "([^"]+)"', text, re.MULTILINE)
        # Only the name counts: the folder may have moved, and must not point elsewhere.
        if match and (folder / f"{Path(match[1]).name}.index").is_file():
            return folder / Path(match[1]).name
    found = sorted(folder.glob("*.index"))
    if len(found) == 1:
        return found[0].with_suffix("")
    raise UsageError(
        f"the folder {folder} holds {len(found) or 'no'} checkpoints",
        hint="the one that is meant, for example FOLDER/model.ckpt",
    )


def _open_checkpoint(prefix: Path) -> WeightFile:
    if not list(prefix.parent.glob(f"{prefix.name}.data-*")):
        raise UsageError(
            f"the checkpoint {prefix} has no data file",
            cause=f"{prefix.name}.index lies there without {prefix.name}.data-00000-of-00001",
            hint="all files of the checkpoint, in one folder",
        )
    tf = import_optional("tensorflow", "tensorflow", _CHECKPOINT)
    with native_quiet():
        try:
            reader = tf.train.load_checkpoint(str(prefix))
            shapes = {n: tuple(s) for n, s in reader.get_variable_to_shape_map().items()}
            keys = {name: name for name in shapes}
            if OBJECTS in shapes:
                keys = variable_names(reader.get_tensor(OBJECTS))
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error

    def fetch(name: str) -> Array:
        try:
            with native_quiet():
                return np.asarray(reader.get_tensor(keys[name]))
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error

    found = {name: shapes[key] for name, key in keys.items() if key in shapes}
    return WeightFile(prefix, "tf1", found, fetch)
