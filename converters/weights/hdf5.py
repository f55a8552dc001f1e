"""Keras' HDF5 files, as one flat table of ``LAYER/variable``: Keras 3, legacy, and ``.keras``.

Sources: keras, ``saving_lib.py`` (Keras 3) and ``legacy_h5_format.py``.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.converters.weights.file import WeightFile
from edgekit.errors import UsageError
from edgekit.networks.nodes import Array, Shape
from edgekit.system.paths import StrPath

#: A layer's variables by their position, for the classes of the family (Keras 3 numbers them).
VARIABLES = {
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "normalization": ("mean", "variance", "count"),
}
#: What a training run of Keras 3 keeps beside the weights: the optimizer, and dropout's seeds.
NO_WEIGHTS = r"/optimizer/.*|.*/seed_generator/vars/\d+"
#: Where a whole model of the legacy format keeps its configuration.
MODEL_CONFIG = "model_config"
#: HDF5's own filters: deflate, shuffle, fletcher32, lzf. Others would load a library.
FILTERS = {1, 2, 3, 32000}
MIB = 2**20


def open_hdf5(path: StrPath, stack: ExitStack) -> WeightFile:
    """Opens a ``.weights.h5`` of Keras 3, or a legacy ``.h5``, of weights or a whole model."""
    path = Path(path)
    import h5py

    file = stack.enter_context(h5py.File(path, "r"))
    config = _text(file.attrs[MODEL_CONFIG]) if MODEL_CONFIG in file.attrs else None
    return _weight_file(path, "hdf5", file, {"config": json.loads(config)} if config else {})


def open_keras(path: StrPath, stack: ExitStack, limit: int) -> WeightFile:
    """Opens a ``.keras`` archive: its weights, and its ``config.json`` as metadata."""
    path = Path(path)
    import h5py

    archive = stack.enter_context(zipfile.ZipFile(path))
    config = json.loads(_member(path, archive, "config.json", 64 * MIB).read())
    file = h5py.File(_member(path, archive, "model.weights.h5", limit), "r")
    return _weight_file(path, "keras", stack.enter_context(file), {"config": config})


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> Any:
    """A member of the archive: where it is stored as it is, nothing is copied."""
    info = archive.getinfo(name)
    if info.compress_type == zipfile.ZIP_STORED and info.file_size <= path.stat().st_size:
        return archive.open(info)
    if info.file_size > limit:
        raise UsageError(
            f"{name} in {path} is too large",
            cause=f"it would inflate to {info.file_size:,} bytes; "
            f"weights of this model need less than {limit:,}",
            hint="the model that the weights were trained for",
        )
    return io.BytesIO(archive.read(info))


def _weight_file(path: Path, kind: str, file: Any, metadata: dict[str, Any]) -> WeightFile:
    datasets = _datasets(file)
    root = next((g for g in (file, file.get("model_weights")) if g and _listed(g)), None)
    named = list(_legacy(root, datasets) if root is not None else _keras3(file, datasets))
    tensors = dict(named)
    if len(tensors) < len(named) and root is not None:  # layers of layers
        named = list(_nested(root, datasets))
        tensors = dict(named)
    if len(tensors) < len(named):
        twice = next(name for i, (name, _) in enumerate(named) if name in dict(named[:i]))
        raise UsageError(
            f"two layers in {path} have the same name",
            cause=f"'{twice}' stands twice",
            hint="the weights of one model",
        )
    shapes: dict[str, Shape] = {name: tuple(data.shape) for name, data in tensors.items()}
    metadata = metadata | {"layers": _layers(root, file), "numbered": root is None}
    return WeightFile(path, kind, shapes, lambda name: _read(name, tensors[name]), metadata)


def _layers(legacy: Any, file: Any) -> frozenset[str]:
    """The groups of all layers, those without weights as well; Keras 3 numbers them by class."""
    found: set[str] = set()
    if legacy is not None:
        return frozenset(legacy)
    if "layers" in file:
        file["layers"].visit(lambda name: found.add(name.rpartition("/")[2]))
    return frozenset(found)


def _datasets(file: Any) -> dict[str, Any]:
    """Every dataset by its path, in a file that keeps everything inside itself."""
    import h5py

    def elsewhere(name: str, link: Any) -> str | None:
        return None if isinstance(link, h5py.HardLink) else name

    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[f"/{name}"] = item

    link = file.visititems_links(elsewhere)
    if link is not None:
        raise ValueError(f"'{link}' is a link to elsewhere, which is not followed")
    file.visititems(visit)
    return found


def _listed(group: Any) -> bool:
    return "layer_names" in group.attrs or "layer_names0" in group.attrs


def _legacy(root: Any, datasets: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A legacy file has one group per layer, with its variables in it under their full names.

    The lists of names among its attributes say the same, and are not read: the library would
    allocate whatever length a damaged one declares.
    """
    for path, data in datasets.items():
        if path.startswith(f"{root.name.rstrip('/')}/"):
            # A model inside a model is one layer here; the last two parts are what matters.
            name = "/".join(path.removesuffix(":0").split("/")[-2:])
            yield name.replace("/depthwise_kernel", "/kernel"), data


def _nested(root: Any, datasets: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The same by the whole names of the variables, where the last two parts name several."""
    for path, data in datasets.items():
        top = f"{root.name.rstrip('/')}/"
        if path.startswith(top):
            yield path.removeprefix(top).partition("/")[2].removesuffix(":0"), data


def _attribute(group: Any, name: str) -> Any:
    """An attribute of a sensible size: a damaged one may declare gigabytes."""
    size = group.attrs.get_id(name).get_storage_size()
    if size > MIB:
        raise ValueError(f"the attribute '{name}' declares {size:,} bytes")
    return group.attrs[name]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _keras3(file: Any, datasets: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keras 3 numbers its layers by class; the name is an attribute, which early versions lack."""
    for path, data in datasets.items():
        if re.fullmatch(NO_WEIGHTS, path):
            continue
        match = re.fullmatch(r"(/.*?/?([^/]+))/vars/(\d+)", path)
        if match is None:
            yield path, data  # it has no place, and will be named
            continue
        group, auto, position = match[1], match[2], int(match[3])
        variables_group = file[f"{group}/vars"]
        named = "name" in variables_group.attrs
        layer = _text(_attribute(variables_group, "name")) if named else auto
        variables = VARIABLES.get(re.sub(r"_\d+$", "", auto), ())
        variable = variables[position] if position < len(variables) else str(position)
        yield f"{layer}/{variable}", data


def _read(name: str, data: Any) -> Array:
    """Reads a dataset that keeps what it declares, in this file."""
    declared = math.prod(data.shape) * data.dtype.itemsize
    if data.is_virtual or data.external:
        raise ValueError(f"'{name}' lies in another file, which is not opened")
    plist = data.id.get_create_plist()
    if any(plist.get_filter(i)[0] not in FILTERS for i in range(plist.get_nfilters())):
        raise ValueError(f"'{name}' is stored through an unknown filter")
    if data.id.get_storage_size() == 0 and declared:
        raise ValueError(f"'{name}' was never written")
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > declared + MIB:
        raise ValueError(f"'{name}' declares chunks of {data.chunks}, larger than itself")
    if data.dtype.kind == "V" and data.dtype.itemsize == 2:  # how bfloat16 arrives
        halves = np.asarray(data[()]).view(np.uint16).astype(np.uint32) << np.uint32(16)
        return halves.view(np.float32)
    if data.dtype.kind not in "fiu":
        raise ValueError(f"'{name}' holds {data.dtype}, not numbers")
    return np.asarray(data[()])
