"""A network's float weights as the original libraries take them, or as a file that any run.

What they name and lay out otherwise is that of the sources that edgekit reads. A batch
normalization whose epsilon is another there is given the scale that makes both the same: the
answers are equal, further training there is almost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.converters.weights import timm, torchvision
from edgekit.converters.weights.naming import TORCH
from edgekit.converters.weights.sources import BROUGHT_ALONG
from edgekit.converters.weights.their_tensors import Original, tensors_for
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array
from edgekit.networks.passes import prepare
from edgekit.system.files import write_bytes
from edgekit.system.paths import StrPath
from edgekit.system.tensor_files import write_tensors

EDGEKIT = "edgekit"
MODEL, CONFIG = "model.safetensors", "config.json"
ONNX = "model.onnx"
SAME, SYMMETRIC = "same", "symmetric"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: the paths.
        architecture: what the library calls the network.
        loading: how the library loads it, a line of Python.
        notes: what one should know.
    """

    files: tuple[Path, ...]
    architecture: str
    loading: str
    notes: tuple[str, ...] = ()


def export_weights(
    graph: Graph, preprocessing: Preprocessing, library: str, folder: StrPath
) -> Exported:
    """Writes a network's weights into a folder.

    Args:
        graph: float, as training leaves it; for a library, of a classifier.
        preprocessing: how its photos are prepared.
        library: a key of `LIBRARIES`, or of `FORMS`, which take a network of any task.
        folder: for the files; it is made.

    Raises:
        UsageError: the library is not known, or has no such network.
        MissingToolError: what writes its files is not installed.
    """
    known = (*LIBRARIES, *FORMS)
    if library not in known:
        raise UsageError(f"unknown library '{library}'", hint=did_you_mean(library, known))
    if library in FORMS:
        return FORMS[library](graph, preprocessing, Path(folder))
    spec = spec_of(graph)
    if spec is None or spec.decoder is not None:
        raise UsageError(
            f"{graph.name} is not exported to {library}",
            cause="only classifiers have an original there",
            hint="--to onnx, or --to savedmodel",
        )
    if library != EDGEKIT and not _is_published(spec):
        raise _no_network(spec, library)
    return LIBRARIES[library](graph, spec, preprocessing, Path(folder))


def _is_published(spec: ModelSpec) -> bool:
    """Whether a network has its namesake's layers: one of the user's own may be called alike."""
    known = {**SPECS, **BASELINES}.get(spec.name)
    if known is None:
        return False
    kept = (*BROUGHT_ALONG, "resolution", "dropout", "survival")
    fields: dict[str, Any] = {name: getattr(spec, name) for name in kept}
    return replace(known, **fields) == spec


def _timm(graph: Graph, spec: ModelSpec, how: Preprocessing, folder: Path) -> Exported:
    own = spec.padding == SYMMETRIC
    if not own and spec.padding != SAME:
        raise _padding(spec, "timm")
    name = timm.model_name(spec.name, "" if own else "tf_")
    if not name:
        raise _no_network(spec, "timm")
    table = timm.NAMES_V3 if spec.head_layers == "pooled" else timm.NAMES
    epsilon = timm.OWN_EPSILON if own else 1e-3
    tensors = tensors_for(graph, Original(name, epsilon, table, TORCH))
    record = {
        "architecture": name,
        "num_classes": graph.classes,
        "num_features": graph.weights[f"{graph.nodes[-1].name}/kernel"].shape[0],
        "pretrained_cfg": {
            "input_size": [3, how.resolution, how.resolution],
            "interpolation": how.interpolation,
            "crop_pct": how.crop_fraction,
            "mean": [value / 255 for value in how.mean],
            "std": [value / 255 for value in how.std],
            "num_classes": graph.classes,
            "label_names": list(how.labels),
            "first_conv": "conv_stem",
            "classifier": "classifier",
        },
    }
    files = _write_torch(folder, tensors, record)
    loading = f'timm.create_model("local-dir:{folder}", pretrained=True)'
    return Exported(files, name, loading)


def _torchvision(graph: Graph, spec: ModelSpec, how: Preprocessing, folder: Path) -> Exported:
    if spec.padding != SYMMETRIC:
        raise _padding(spec, "torchvision")
    if spec.name not in torchvision.EVALUATION:
        raise _no_network(spec, "torchvision")
    name = f"efficientnet_{spec.name.replace('-', '_')}"
    epsilon = 1e-5 if spec.name in torchvision.SMALL_EPSILON else 1e-3
    tensors = tensors_for(graph, Original(name, epsilon, torchvision.NAMES, TORCH))
    record = {"architecture": name, "num_classes": graph.classes, **_input(how)}
    files = _write_torch(folder, tensors, record)
    loading = (
        f"torchvision.models.{name}(num_classes={graph.classes})"
        f'.load_state_dict(safetensors.torch.load_file("{files[0]}"), strict=False)'
    )
    return Exported(files, name, loading, ("strict=False: counters of batches are left out",))


def _edgekit(graph: Graph, spec: ModelSpec, how: Preprocessing, folder: Path) -> Exported:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{graph.name}.graph"
    graph.save(path)
    record = folder / CONFIG
    record.write_text(json.dumps(how.to_dict(), indent=2, ensure_ascii=False), "utf-8")
    return Exported((path, record), graph.name, f'edgekit.load_weights("{path}", "{spec.name}")')


def _input(how: Preprocessing) -> dict[str, Any]:
    """How photos are prepared, for who loads the weights."""
    return {"preprocessing": how.to_dict()}


def _write_torch(
    folder: Path, tensors: Mapping[str, Array], record: Mapping[str, Any]
) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / MODEL, tensors, {"format": "pt"})
    text = json.dumps(record, indent=2, ensure_ascii=False)
    (folder / CONFIG).write_text(text, "utf-8")
    return folder / MODEL, folder / CONFIG


def _keras(graph: Graph, spec: ModelSpec, how: Preprocessing, folder: Path) -> Exported:
    from edgekit.converters.weights.keras_export import write_keras

    if spec.padding != SAME:
        raise _padding(spec, "keras")
    return Exported(*write_keras(graph, spec, how, folder))


def _padding(spec: ModelSpec, library: str) -> UsageError:
    return UsageError(
        f"{spec.name} is not exported to {library}",
        cause=f"its weights pad '{spec.padding}', which {library}'s network does not",
        hint="timm has networks of either padding; keras pads 'same', torchvision 'symmetric'",
    )


def _no_network(spec: ModelSpec, library: str) -> UsageError:
    return UsageError(
        f"{library} has no {spec.name}",
        cause="a scaled or found network has no original",
        hint="--to edgekit, --to onnx, or --to savedmodel",
    )


def _onnx(graph: Graph, how: Preprocessing, folder: Path) -> Exported:
    from edgekit.converters.onnx.package import package_onnx

    contents = package_onnx(prepare(graph), preprocessing=how, scheme="fp32", batch=None)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ONNX
    write_bytes(path, contents)
    note = "it takes normalised photos, NCHW, as its metadata say: (pixel - mean) / std"
    return Exported((path,), graph.name, f'onnxruntime.InferenceSession("{path}")', (note,))


def _savedmodel(graph: Graph, how: Preprocessing, folder: Path) -> Exported:
    from edgekit.converters.savedmodel.write import SIGNATURE, write_savedmodel

    write_savedmodel(graph, how, folder)
    note = "it takes pixels from 0 to 255, NHWC, and normalises them itself"
    loading = f'tf.saved_model.load("{folder}").signatures["{SIGNATURE}"]'
    return Exported((folder,), graph.name, loading, (note,))


#: By the name of a library: writes a network for it.
LIBRARIES: dict[str, Callable[[Graph, ModelSpec, Preprocessing, Path], Exported]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "keras": _keras,
    EDGEKIT: _edgekit,
}
#: By the name of a form of file: writes any network as one.
FORMS: dict[str, Callable[[Graph, Preprocessing, Path], Exported]] = {
    "onnx": _onnx,
    "savedmodel": _savedmodel,
}
