"""Reads a .onnx file back: ends, operators, metadata; and what makes it unsafe to run.

The file is untrusted: whatever it holds, :func:`read` ends in an :class:`OnnxModel` or in a
:class:`UsageError`, and opens no other file. A runtime does: it follows the locations of weights
that are kept outside. So those are checked here, before any runtime sees the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from edgekit.converters.findings import ERROR, Finding
from edgekit.converters.onnx.operators import Operator
from edgekit.converters.onnx.package import KERNELS_KEY, LABELS_KEY, PAIR_SUMS, RECORD_KEY
from edgekit.converters.onnx.scheme import scheme_of
from edgekit.converters.tflite.file import read_bytes
from edgekit.data.label_files import names_of
from edgekit.errors import UsageError
from edgekit.system.extras import import_optional
from edgekit.system.paths import StrPath

#: What a protobuf message can hold (protobuf.dev/programming-guides/proto-limits).
MOST_BYTES = 2**31 - 1
#: Operator sets that ONNX Runtime brings itself; the empty name is ONNX's own.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_OPENS_FILES = ("com.microsoft.EPContext",)  # its attribute names a compiled file
TASK_KEY = "task"  # of Ultralytics, which writes "names" beside it


@dataclass(frozen=True)
class End:
    """An input or output of the model.

    Attributes:
        shape: sizes; the name, or "?", of one that only the run decides. None: nothing is said.
        dtype: a numpy name such as "float32", or ONNX's in lower case.
    """

    name: str
    shape: tuple[int | str, ...] | None
    dtype: str


@dataclass(frozen=True)
class OnnxModel:
    """What a .onnx file holds; operators are those of the main graph, in its order.

    Attributes:
        size_bytes: of the file, and of the files beside it that hold its weights.
        opset: version of ONNX's own operators; 0 where the file does not say it.
        inputs: without those that are constants too, as old files list them.
        constants: types of the stored constants by name.
        functions: operators that the file defines itself.
        metadata: its ``metadata_props``.
        preprocessing: edgekit's record as `Preprocessing.to_dict` gives it, or None.
        labels: class names; the position is the class index.
        task: what the model is for, where its exporter says so, as Ultralytics does.
        external: the files beside it that hold weights, as it names them.
    """

    size_bytes: int
    producer: str
    ir_version: int
    opset: int
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    nodes: tuple[Operator, ...] = field(repr=False)
    constants: Mapping[str, str] = field(repr=False)
    functions: tuple[str, ...]
    metadata: Mapping[str, str] = field(repr=False)
    preprocessing: dict[str, Any] | None = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    task: str
    external: tuple[str, ...]

    @property
    def operators(self) -> dict[str, int]:
        """How many operators there are of each kind."""
        return dict(sorted(Counter(node.kind for node in self.nodes).items()))

    @cached_property
    def scheme(self) -> str:
        """Names the quantization, as the file itself shows it; see `onnx_scheme.scheme_of`."""
        return scheme_of(self.nodes, self.constants)

    @property
    def fits_pairs(self) -> bool:
        """Whether the file says that int8 kernels are exact without VNNI, too."""
        return self.metadata.get(KERNELS_KEY) == PAIR_SUMS


def read(path: StrPath) -> OnnxModel:
    """Reads a .onnx file.

    Raises:
        UsageError: the file cannot be read, is no ONNX model or damaged, or keeps weights in a
            file that is missing or lies outside its own folder.
        MissingToolError: the package onnx is not installed.
    """
    return parse(model_bytes(path), path)


def model_bytes(path: StrPath) -> bytes:
    """Returns the bytes of a .onnx file.

    Raises:
        UsageError: there is no such file, it cannot be read, or it is larger than protobuf allows.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise UsageError(
            f"{path} is not an ONNX model", cause="it is larger than the 2 GB of a protobuf file"
        )
    return read_bytes(path)


def parse(data: bytes, path: StrPath) -> OnnxModel:
    """Reads a model from the bytes of the file at ``path``; its weights may lie beside it.

    Raises:
        UsageError: as for `read`.
        MissingToolError: the package onnx is not installed.
    """
    onnx = import_optional("onnx", "onnx")
    decode_error = import_optional("google.protobuf.message", "onnx").DecodeError
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        if not model.graph.node or not model.graph.output:
            raise ValueError("it holds no graph")
        return _described(model, len(data), _external(model, Path(path)))
    except (decode_error, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(
            f"{path} is not an ONNX model", cause=str(error)[:300] or "the file is damaged"
        ) from error


def check(model: OnnxModel | StrPath) -> list[Finding]:
    """Returns what in a file no runtime of ours is given: all findings are errors.

    Raises:
        UsageError: the file cannot be read, as for `read`.
    """
    model = model if isinstance(model, OnnxModel) else read(model)
    return [
        Finding(ERROR, rule, where, message, fix)
        for rule, find, fix in _RULES
        for where, message in find(model)
    ]


def _control_flow(model: OnnxModel) -> Iterator[tuple[str, str]]:
    for node in model.nodes:
        if node.holds_graphs:
            yield f"{node.kind} '{node.name}'", "it holds a graph of its own"


def _functions(model: OnnxModel) -> Iterator[tuple[str, str]]:
    for name in model.functions:
        yield f"function '{name}'", "the file defines an operator itself"


def _custom(model: OnnxModel) -> Iterator[tuple[str, str]]:
    for node in model.nodes:
        if node.domain not in DOMAINS:
            yield f"{node.kind} '{node.name}'", f"the operators of '{node.domain}' are not known"
        elif node.kind in _OPENS_FILES:
            yield f"{node.kind} '{node.name}'", "it opens a file that the model names"


_RULES = (
    ("no-control-flow", _control_flow, "export the network without If, Loop and Scan"),
    ("no-functions", _functions, "inline the functions (onnx.inliner)"),
    ("no-custom", _custom, "use operators of ONNX only"),
)


def _described(model: Any, size: int, external: Mapping[str, int]) -> OnnxModel:
    graph = model.graph
    constants = {item.name: _dtype(item.data_type) for item in graph.initializer} | {
        node.output[0]: _dtype(item.t.data_type)
        for node in graph.node
        if node.op_type == "Constant" and node.output
        for item in node.attribute
        if item.HasField("t")
    }
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    record = _json(metadata, RECORD_KEY)
    opsets = {item.domain: item.version for item in model.opset_import}
    return OnnxModel(
        size_bytes=size + sum(external.values()),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        ir_version=model.ir_version,
        opset=opsets.get("", opsets.get("ai.onnx", 0)),
        inputs=tuple(_end(item) for item in graph.input if item.name not in constants),
        outputs=tuple(_end(item) for item in graph.output),
        nodes=tuple(_operator(node) for node in graph.node),
        constants=constants,
        functions=tuple(item.name for item in model.functions),
        metadata=metadata,
        preprocessing=record if isinstance(record, dict) else None,
        labels=_labels(metadata),
        task=metadata.get(TASK_KEY, ""),
        external=tuple(sorted(external)),
    )


def _labels(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Our list, else the table of Ultralytics."""
    labels = _json(metadata, LABELS_KEY)
    if isinstance(labels, list):
        return tuple(map(str, labels))
    return names_of(metadata) or () if "names" in metadata else ()


def _json(metadata: Mapping[str, str], key: str) -> Any:
    """What our key holds; another tool may keep something else under its name."""
    try:
        return json.loads(metadata.get(key, "null"))
    except (ValueError, RecursionError):
        return None


def _operator(node: Any) -> Operator:
    domain = "" if node.domain == "ai.onnx" else node.domain
    return Operator(
        name=node.name,
        kind=f"{domain}.{node.op_type}" if domain else node.op_type,
        domain=domain,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        holds_graphs=any(item.HasField("g") or item.graphs for item in node.attribute),
    )


def _end(value: Any) -> End:
    kind = value.type.tensor_type
    shape: tuple[int | str, ...] | None = None
    if kind.HasField("shape"):
        shape = tuple(
            int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
            for dim in kind.shape.dim
        )
    return End(value.name, shape, _dtype(kind.elem_type))


def _dtype(number: int) -> str:
    import onnx

    names: dict[int, str] = {n: word.lower() for word, n in onnx.TensorProto.DataType.items()}
    name = names.get(number, f"type_{number}")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _external(model: Any, path: Path) -> dict[str, int]:
    """The files that tensors are kept in, wherever in the model they stand, with their bytes.

    Each is checked.
    """
    checked: dict[str, int] = {}
    for tensor in _messages(model):
        if tensor.DESCRIPTOR.full_name != "onnx.TensorProto" or not (
            tensor.external_data or tensor.data_location == tensor.EXTERNAL
        ):
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if location not in checked:
            checked[location] = _size_of(location, path)
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
        if min(offset, length) < 0 or offset + length > checked[location]:
            raise UsageError(
                f"{path} cannot be used: its weights lie beyond the end of '{location}'",
                cause=f"'{tensor.name}' takes {length} bytes from byte {offset}",
            )
    return checked


def _messages(message: Any) -> Iterator[Any]:
    """A message and all that are in it, so that nothing is overlooked.

    Raises:
        ValueError: some text is not UTF-8; protobuf gives it as bytes then.
    """
    yield message
    for descriptor, value in message.ListFields():
        alone = isinstance(value, str | bytes | float | int) or hasattr(value, "DESCRIPTOR")
        for item in [value] if alone else value:
            if descriptor.message_type is not None:
                yield from _messages(item)
            elif descriptor.type != descriptor.TYPE_STRING:
                break
            elif isinstance(item, bytes):
                raise ValueError(f"its {descriptor.full_name} is not text")


def _size_of(location: str, path: Path) -> int:
    """Bytes of a file beside the model.

    Raises:
        UsageError: it lies elsewhere, or there is none.
    """
    ways = (PurePosixPath(location), PureWindowsPath(location))
    outside = any(way.is_absolute() or way.drive or way.root or ".." in way.parts for way in ways)
    folder = path.parent.resolve()
    # ONNX Runtime takes a location that starts with "*/" for an address in its own memory.
    if not location or "\0" in location or location.startswith("*") or outside:
        raise _elsewhere(path, location)
    try:
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise _elsewhere(path, location)
        if not file.is_file():
            raise UsageError(
                f"{path} cannot be used: its weights are missing",
                cause=f"there is no file '{location}' beside it",
                hint="copy all files of the model into one folder",
            )
        return file.stat().st_size
    except (OSError, RuntimeError) as error:
        raise UsageError(f"cannot read '{location}' of {path}", cause=str(error)) from error


def _elsewhere(path: Path, location: str) -> UsageError:
    return UsageError(
        f"{path} cannot be used: it wants to read outside its own folder",
        cause=f"it keeps weights in '{location}'",
        hint="take the model from a source that you trust",
    )
