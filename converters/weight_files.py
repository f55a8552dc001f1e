"""Opens any file of weights: names and shapes first, one tensor at a time afterwards, no code run.

What a file is, its content says and not its suffix. Nothing as large as a tensor is allocated
before the caller has compared the shapes with those that it needs, so that a file that declares
terabytes costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError, UsageError
from edgekit.graph import Array, Shape
from edgekit.quiet import native_quiet

#: Keys under which torch checkpoints keep a state dict, the averaged weights first.
EMA_WRAPPERS = ("state_dict_ema", "model_ema")
WRAPPERS = ("state_dict", "model")
#: What parallel training and compilation put before every name.
PREFIXES = ("module.", "_orig_mod.")
KNOWN_FORMATS = "safetensors, .pth, .h5, .weights.h5, .keras, or a TensorFlow 1 checkpoint"


@dataclass(frozen=True)
class WeightFile:
    """An open file of weights.

    Attributes:
        path: of the file, or the prefix of a checkpoint.
        format: ``safetensors``, ``torch``, ``hdf5``, ``keras`` or ``tf1``.
        shapes: of every tensor, by the file's own name.
        fetch: reads one tensor as the file has it.
        metadata: what the file says about itself beside the tensors.
        notes: for the user, on how the file was read.
    """

    path: Path
    format: str
    shapes: Mapping[str, Shape]
    fetch: Callable[[str], Array] = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    def read(self, name: str) -> Array:
        """Reads one tensor, float32.

        Raises:
            UsageError: it is damaged, or holds NaN or infinity.
        """
        with _reading(self.path):
            array = np.asarray(self.fetch(name), dtype=np.float32)
        if not np.isfinite(array).all():
            raise UsageError(f"{self.path} holds NaN or infinity", cause=f"in {name}")
        return array


@contextlib.contextmanager
def open_weights(path: Path, *, limit: int, ema: bool = True) -> Iterator[WeightFile]:
    """Opens a file, or a folder with one TensorFlow checkpoint.

    Args:
        path: safetensors, torch, HDF5 or ``.keras``, or a TensorFlow 1 checkpoint (its prefix,
            one of its files, or its folder).
        limit: the most bytes that a compressed member may have once it is inflated.
        ema: whether the averaged weights are taken from a torch checkpoint that has both.

    Raises:
        UsageError: it is missing, damaged, of no known format, or not safe to read.
    """
    with contextlib.ExitStack() as stack:
        with _reading(path):
            file = _open(path, stack, limit, ema)
        if not file.shapes:
            raise UsageError(f"the weights file {path} holds no tensors")
        yield file


def _open(path: Path, stack: contextlib.ExitStack, limit: int, ema: bool) -> WeightFile:
    from edgekit.converters.hdf5_files import open_hdf5, open_keras

    checkpoint = find_checkpoint(path)
    if checkpoint is not None:
        return _open_checkpoint(checkpoint)
    if not path.is_file():
        raise UsageError(f"no weights file {path}", hint=f"{KNOWN_FORMATS}, or --weights none")
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return open_hdf5(path, stack)
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            if "model.weights.h5" not in archive.namelist():
                _check_torch_zip(path, archive)
                return _open_torch(path, ema, mmap=True)
        return open_keras(path, stack, limit)
    if start[8:9] == b"{":
        return _open_safetensors(path, stack)
    if start.startswith(b"\x80"):  # a pickle: how torch wrote before 1.6
        return _open_torch(path, ema, mmap=False)
    raise ValueError(f"its content is none of {KNOWN_FORMATS}")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what the readers raise over a damaged file into one error for the user."""
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:  # a damaged file makes its library raise anything at all
        lines = str(error).strip().splitlines()
        raise UsageError(
            f"cannot read the weights file {path}",
            cause=f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__,
            hint="download or copy the file again",
        ) from error


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


def _check_torch_zip(path: Path, archive: zipfile.ZipFile) -> None:
    """Torch stores its entries as they are; what inflates was not written by it."""
    entries = archive.infolist()
    if not any(entry.filename.endswith("data.pkl") for entry in entries):
        raise ValueError("an archive, but neither a torch checkpoint nor a .keras file")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UsageError(
            f"the weights file {path} has compressed entries",
            cause="torch writes none, and they could fill the memory",
            hint="save the state dict again, best as .safetensors",
        )
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError("its entries overlap or are longer than the file")


def _open_torch(path: Path, ema: bool, *, mmap: bool) -> WeightFile:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower() and "unsupported" not in str(error).lower():
            raise ValueError("neither a safetensors file nor a torch checkpoint") from error
        raise UsageError(
            f"the weights file {path} holds more than tensors",
            cause="it would run code when loaded, so it was not loaded",
            hint="save the state dict alone, best as .safetensors",
        ) from error
    state, notes = _state_dict(found, ema)
    tensors = {_without_prefix(name): value for name, value in state.items()}
    return WeightFile(
        path,
        "torch",
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        lambda name: tensors[name].detach().float().numpy(),
        notes=notes,
    )


def _state_dict(found: Any, ema: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Unwraps a checkpoint of a training run; what is not a tensor is not weights."""
    import torch

    notes: tuple[str, ...] = ()
    for key in (*EMA_WRAPPERS, *WRAPPERS) if ema else (*WRAPPERS, *EMA_WRAPPERS):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            if key in EMA_WRAPPERS:
                notes = (f"the averaged weights were used ('{key}')",)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__}, not a dictionary of tensors")
    state = {
        str(name): value
        for name, value in found.items()
        if isinstance(value, torch.Tensor) and value.layout == torch.strided
    }
    return state, notes


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def find_checkpoint(path: Path) -> Path | None:
    """The prefix of a TensorFlow checkpoint, from it, from one of its files or from its folder.

    Raises:
        UsageError: the folder holds no checkpoint, or several and no word on which is meant.
    """
    if path.is_dir():
        return _checkpoint_of_folder(path)
    name = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name)
    prefix = path.with_name(name)
    known = name != path.name or not path.exists()
    return prefix if known and prefix.with_name(f"{name}.index").is_file() else None


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
    with native_quiet():
        import tensorflow as tf

        try:
            reader = tf.train.load_checkpoint(str(prefix))
            shapes = {n: tuple(s) for n, s in reader.get_variable_to_shape_map().items()}
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error

    def fetch(name: str) -> Array:
        try:
            with native_quiet():
                return np.asarray(reader.get_tensor(name))
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error

    return WeightFile(prefix, "tf1", shapes, fetch)


def json_of(text: str | bytes, what: str) -> Any:
    """Reads JSON that stands in or beside a file.

    Raises:
        ValueError: it is not JSON, or no object.
    """
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value
