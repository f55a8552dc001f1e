"""Reads an OpenVINO IR (.xml with its .bin) before OpenVINO itself sees it.

The files are untrusted: whatever they hold, `read` ends in an `IRModel` or in a `UsageError`, and
never opens another file, expands an entity or takes more memory than the limits below allow. The
format: docs.openvino.ai, "OpenVINO IR format" and "Operation sets".
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.system.xml_tree import parse_xml

#: V2-XL has some 5 MB of XML and 100,000 elements; a thousandfold is an attack.
MOST_XML_BYTES, MOST_ELEMENTS, DEEPEST = 64 << 20, 2_000_000, 100
QUANTIZERS = ("ours", "nncf")
_KERNELS = ("Convolution", "GroupConvolution", "MatMul")
#: What stands between a kernel and its constant: conversion, scale, zero point, shape.
_WRAPPERS = ("Convert", "Multiply", "Subtract", "Reshape", "FakeQuantize", "FakeConvert")
_NUMPY = {"u8": "uint8", "i8": "int8", "i32": "int32", "i64": "int64"}
_NUMPY |= {"f16": "float16", "fp16": "float16", "f32": "float32", "fp32": "float32"}
DYNAMIC = -1
_MOST_AXES = 16


@dataclass(frozen=True)
class IRTensor:
    """An input or an output.

    Attributes:
        name: the first of its tensor names, else that of its operator.
        shape: sizes as stored; -1 where only the run decides.
        dtype: a numpy name such as "uint8", or OpenVINO's own word.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class IRModel:
    """What an IR holds.

    Attributes:
        path: of the .xml.
        name: of the network.
        version: of the format; 10 and 11 are in use.
        xml_bytes: size of the .xml.
        bin_bytes: size of the .bin.
        inputs: in the file's order.
        outputs: likewise.
        operators: how many there are of each type, without Const, Parameter and Result.
        opsets: the operation sets that they are from.
        scheme: "fp32", "fp16", "w8a8-static", "w8a8-mixed", "w8-weight-only", "w4-weight-only" or
            "other", as the constants of its convolutions and matrix products say.
        quantizer: "ours" or "nncf", where the file says it.
        preprocessing: edgekit's record; None where there is none.
        labels: of the classes; empty where there are none.
        model_type: OpenVINO's Model API has a word for what the network is; else empty.
    """

    path: Path
    name: str
    version: int
    xml_bytes: int
    bin_bytes: int
    inputs: tuple[IRTensor, ...]
    outputs: tuple[IRTensor, ...]
    operators: Mapping[str, int]
    opsets: frozenset[str]
    scheme: str
    quantizer: str | None
    preprocessing: Preprocessing | None = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    model_type: str

    @property
    def size_bytes(self) -> int:
        """Of both files."""
        return self.xml_bytes + self.bin_bytes


def read(path: StrPath) -> IRModel:
    """Reads the network's structure and edgekit's record.

    Args:
        path: of the .xml; the .bin lies beside it under the same name.

    Raises:
        UsageError: a file is missing, no IR, damaged, too large, or points outside of its folder.
    """
    path = Path(path)
    size = _bin_size(path)
    try:
        contents = _bytes(path)
        net = parse_xml(contents, MOST_ELEMENTS, DEEPEST)
        if net.tag != "net":
            raise ValueError(f"its root is <{net.tag[:40]}>, not <net>")
        _check_constants(net, size)
        return _model(path, net, len(contents), size)
    except (ParseError, KeyError, ValueError, OSError) as error:
        what = f"no '{error.args[0]}'" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{path} is no OpenVINO model that can be used",
            cause=what[:300],
            hint="give the .xml that edgekit or OpenVINO wrote",
        ) from error


def _bin_size(path: Path) -> int:
    """Bytes of the weights; they must be a file of the .xml's own folder."""
    if path.suffix.lower() != ".xml":
        raise UsageError(f"{path} is no OpenVINO model", hint="give the .xml")
    weights = path.with_suffix(".bin")
    try:
        target = weights.resolve(strict=True)
        inside = target.is_relative_to(path.parent.resolve())
        if not target.is_file() or not inside:
            raise UsageError(
                f"{weights} cannot be used",
                cause="it is no plain file" if inside else "it is a link out of its folder",
            )
        return target.stat().st_size
    except (OSError, RuntimeError) as error:  # RuntimeError: links that go round, before 3.13
        raise UsageError(
            f"cannot read {weights}",
            cause=str(error),
            hint="an OpenVINO model is a .xml and a .bin: keep them together",
        ) from error


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError("it is no plain file" if path.exists() else "it does not exist")
    with path.open("rb") as file:
        contents = file.read(MOST_XML_BYTES + 1)
    if len(contents) > MOST_XML_BYTES:
        raise ValueError(f"it has more than {MOST_XML_BYTES} bytes of XML")
    return contents


def _check_constants(net: Element, size: int) -> None:
    """Every constant, those of inner networks too, lies in the .bin and fills its shape."""
    for layer in net.iter("layer"):
        if layer.get("type") != "Const":
            continue
        data = _child(layer, "data")
        offset, length = _whole(data, "offset"), _whole(data, "size")
        name = layer.get("name", "")[:60]
        if offset + length > size:
            raise ValueError(f"the constant '{name}' ends at {offset + length} of {size} bytes")
        bits = re.fullmatch(r"b?[a-z]+(\d+).*", data.attrib["element_type"])
        shape = _shape(data.get("shape", ""))
        if bits and 8 * length < int(bits[1]) * math.prod(shape):
            raise ValueError(f"the constant '{name}' has {length} bytes for {list(shape)}")


def _model(path: Path, net: Element, xml_bytes: int, bin_bytes: int) -> IRModel:
    layers = _child(net, "layers").findall("layer")
    kinds = Counter(layer.attrib["type"] for layer in net.iter("layer"))
    said = net.find("rt_info")
    info = said if said is not None else Element("rt_info")
    return IRModel(
        path=path,
        name=net.get("name", ""),
        version=_whole(net, "version"),
        xml_bytes=xml_bytes,
        bin_bytes=bin_bytes,
        inputs=tuple(_end(x, "output") for x in layers if x.attrib["type"] == "Parameter"),
        outputs=tuple(_end(x, "input") for x in layers if x.attrib["type"] == "Result"),
        operators={k: n for k, n in kinds.items() if k not in ("Const", "Parameter", "Result")},
        opsets=frozenset(layer.attrib["version"] for layer in net.iter("layer")),
        scheme=_scheme(net, layers),
        quantizer=_quantizer(info),
        preprocessing=_preprocessing(info),
        labels=_labels(info),
        model_type=_said(info, "model_info", "model_type") or "",
    )


def _end(layer: Element, side: str) -> IRTensor:
    """What a Parameter writes (side ``output``) or a Result reads (``input``)."""
    port = _child(_child(layer, side), "port")
    names = port.get("names", layer.get("output_names", "")).split(",")
    word = port.attrib["precision"].lower()
    sizes = tuple(DYNAMIC if dim.text == "?" else int(dim.text or "") for dim in port.iter("dim"))
    return IRTensor(names[0] or layer.attrib["name"], sizes, _NUMPY.get(word, word))


def _scheme(net: Element, layers: list[Element]) -> str:
    """One word for the constants that convolutions and matrix products read."""
    by_id = {layer.attrib["id"]: layer for layer in layers}
    sources = {
        (edge.attrib["to-layer"], edge.attrib["to-port"]): by_id[edge.attrib["from-layer"]]
        for edge in _child(net, "edges").iter("edge")
    }
    types = {
        _constant_type(sources, layer) for layer in layers if layer.attrib["type"] in _KERNELS
    } - {""}
    rounds = any(layer.attrib["type"] == "FakeQuantize" for layer in layers)
    match sorted(types):
        case ["f32"]:
            return "fp32"
        case ["f16"]:
            return "fp16"
        case ["i8"] if rounds:
            return "w8a8-static"
        case ["f16" | "f32", "i8"] if rounds:
            return "w8a8-mixed"
        case ["i8" | "u8"]:
            return "w8-weight-only"
        case ["i4" | "u4"]:
            return "w4-weight-only"
    return "other"


def _constant_type(sources: Mapping[tuple[str, str], Element], kernel: Element) -> str:
    """The type of a kernel's constant, "i8" where it is rounded to one; "" where it has none."""
    layer = sources.get((kernel.attrib["id"], "1"))
    rounded = False
    for _ in range(len(_WRAPPERS)):
        if layer is None:
            return ""
        kind = layer.attrib["type"]
        if kind == "Const":
            return "i8" if rounded else _child(layer, "data").attrib["element_type"]
        if kind not in _WRAPPERS:
            return ""
        rounded = rounded or kind == "FakeQuantize"
        layer = sources.get((layer.attrib["id"], "0"))
    return ""


def _quantizer(info: Element) -> str | None:
    said = _said(info, "edgekit", "quantizer")
    if said in QUANTIZERS:
        return said
    return "nncf" if info.find("nncf/quantization") is not None else None


def _preprocessing(info: Element) -> Preprocessing | None:
    said = _said(info, "edgekit", "preprocessing")
    if said is None:
        return None
    try:
        return Preprocessing.from_dict({**json.loads(said), "labels": list(_labels(info))})
    except (UsageError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"its record of the preprocessing is damaged: {error}") from error


def _labels(info: Element) -> tuple[str, ...]:
    """The list of edgekit, else that of OpenVINO's Model API, apart by spaces."""
    said = _said(info, "edgekit", "labels")
    if said is None:
        return tuple((_said(info, "model_info", "labels") or "").split())
    try:
        labels = json.loads(said)
    except RecursionError as error:
        raise ValueError("its labels are damaged") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("its labels are no list of names")
    return tuple(labels)


def _said(info: Element, *keys: str) -> str | None:
    found = info.find("/".join(keys))
    return None if found is None else found.get("value")


def _child(element: Element, tag: str) -> Element:
    found = element.find(tag)
    if found is None:
        raise ValueError(f"a <{element.tag[:40]}> has no <{tag}>")
    return found


def _whole(element: Element, key: str) -> int:
    """A number that is not negative; digits only, and few, since Python reads longer ones."""
    text = element.attrib[key]
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"{key} is '{text[:40]}'")
    return int(text)


def _shape(text: str) -> tuple[int, ...]:
    """Sizes of a constant, such as "1, 3, 2, 2"."""
    sizes = [size.strip() for size in text.split(",") if size.strip()]
    if len(sizes) > _MOST_AXES or not all(re.fullmatch(r"[0-9]{1,18}", size) for size in sizes):
        raise ValueError(f"the shape of a constant is '{text[:40]}'")
    return tuple(map(int, sizes))
