"""Torch's checkpoints, as one flat table of tensors: no class but torch's own is loaded.

A training run saves its weights in dictionaries of its own making. Here the keys around a tensor
become part of its name (``state_dict.model.conv_stem.weight``), so that what wraps the weights and
what a wrapping module puts before their names are one prefix, whatever it is.
"""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.converters.weights.file import WeightFile
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

#: Refused classes that are named; a pickled network has some dozens.
NAMED = 3
#: Of the pickle in a checkpoint, which holds names and sizes: V2-XL's has some 0.2 MB.
LARGEST_PICKLE = 64 * 2**20
#: Before 1.6, torch wrote three small pickles before the one of the contents.
PICKLES = 4
#: What a pickled torch module keeps its parameters under.
MODULE = "_parameters"
#: Keys under which a state dict is usually saved, for the advice.
USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "ema", "params")


def check_archive(path: StrPath, archive: zipfile.ZipFile) -> None:
    """Torch stores its entries as they are; what inflates was not written by it.

    Raises:
        UsageError: it has compressed entries.
        ValueError: it is no archive of torch's.
    """
    path = Path(path)
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


def open_torch(path: StrPath, *, mmap: bool) -> WeightFile:
    """Opens a checkpoint with torch's own restricted unpickler.

    Raises:
        UsageError: it holds objects of other classes; they are named.
        ValueError: it is no checkpoint, or no dictionary.
    """
    path = Path(path)
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower() and "unsupported" not in str(error).lower():
            raise ValueError("neither a safetensors file nor a torch checkpoint") from error
        raise _refused(path, str(error)) from error
    if not isinstance(found, dict | list | tuple):
        raise ValueError(f"a {type(found).__name__}, not a dictionary of tensors")
    tensors: dict[str, Any] = {}
    for name, tensor in _tensors(found):
        if name in tensors:
            raise ValueError(f"two tensors are called '{name}'")
        tensors[name] = tensor
    return WeightFile(
        path,
        "torch",
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        lambda name: tensors[name].detach().float().numpy(),
    )


def _tensors(found: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor in dictionaries and lists, by the keys that lead to it; each of those once.

    A pickle may refer to the same dictionary many times over, even from inside itself.
    """
    import torch

    waiting, seen = collections.deque([("", found)]), {id(found)}
    while waiting:
        prefix, container = waiting.popleft()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in items:
            name = f"{prefix}{key}"
            if isinstance(value, torch.Tensor):
                if value.layout == torch.strided:
                    yield name, value
            elif isinstance(value, dict | list | tuple) and id(value) not in seen:
                seen.add(id(value))
                waiting.append((f"{name}.", value))


def _refused(path: Path, said: str) -> UsageError:
    """What to say of a file that holds objects of classes which torch does not load unasked."""
    classes, texts = _contents(path)
    if not classes:  # torch's own words then; it names the first one
        classes = re.findall(r"GLOBAL ([\w.]+)", said)
    shown = ", ".join(f"'{name}'" for name in classes[:NAMED]) or "an object of unknown class"
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return UsageError(
        f"the weights file {path} holds more than tensors",
        cause=f"beside them: {shown}{more}; loading that could run code, so torch refused it",
        hint=f"if you trust the file, save its tensors alone: {_resaving(path, classes, texts)}",
    )


def _resaving(path: Path, classes: list[str], texts: set[str]) -> str:
    """A line of Python that saves the weights without what torch refuses.

    A few plain classes are let through by name. A pickled network, and numpy's numbers, need more
    than the pickle names.
    """
    allowed = [name for name in classes if "." in name and not name.startswith("numpy.")]
    if MODULE not in texts and allowed == classes and len(classes) <= NAMED:
        modules = ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in allowed))
        prepared = (
            f"import {modules}, torch; "
            f"torch.serialization.add_safe_globals([{', '.join(allowed)}]); "
        )
        loaded = f"found = torch.load({str(path)!r}, map_location='cpu', weights_only=True); "
    else:
        prepared = "import torch; "
        loaded = f"found = torch.load({str(path)!r}, map_location='cpu', weights_only=False); "
    usual = [f"found['{key}']" for key in USUAL_KEYS if key in texts]
    anything = "{k: v for k, v in found.items() if isinstance(v, (dict, torch.Tensor))}"
    state = "found.state_dict()" if MODULE in texts else (*usual, anything)[0]
    return f"{prepared}{loaded}torch.save({state}, 'weights.pth')"


def _contents(path: Path) -> tuple[list[str], set[str]]:
    """The classes in a pickle that torch does not load, and its texts; nothing is executed."""
    import torch

    known = {f"torch.{name}" for name in vars(torch)}  # storages, types, sizes
    classes: dict[str, None] = {}
    recent: list[str] = []  # the last two texts are module and name of a STACK_GLOBAL
    texts: set[str] = set()
    try:
        file = io.BytesIO(_pickles(path))
        for _ in range(PICKLES):
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    classes[str(argument).replace(" ", ".")] = None
                elif opcode.name == "STACK_GLOBAL":
                    classes[".".join(recent[-2:])] = None
                elif isinstance(argument, str):
                    recent.append(argument)
                    texts.add(argument)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile):
        pass  # the file ends there, or is damaged: what was found so far is named
    loaded = (*known, "collections.OrderedDict")
    return [
        name for name in classes if name not in loaded and not name.startswith("torch._utils.")
    ], texts


def _pickles(path: Path) -> bytes:
    """What describes the contents of a checkpoint, without the numbers where those lie apart."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            with archive.open(name) as file:
                return file.read(LARGEST_PICKLE)
    with path.open("rb") as plain:
        return plain.read(LARGEST_PICKLE)
