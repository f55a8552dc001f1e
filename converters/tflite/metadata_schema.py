"""The tables of TFLite's ModelMetadata flatbuffer that edgekit writes and reads.

Field order, types and enumerations are those of TensorFlow's `metadata_schema.fbs` (file
identifier M001). Every field used here is of schema version 1.0.0, which is therefore the
`min_parser_version` to state, but for ``output_tensor_groups`` of 1.2.0, and ``custom_metadata``
of 1.5.0, in which MediaPipe looks for what a segmenter's or a detector's numbers are (`custom`).
A table is a plain dict with the schema's field names.
"""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table
from numpy.typing import NDArray

IDENTIFIER = b"M001"
MIN_PARSER_VERSION, WITH_GROUPS, WITH_CUSTOM_METADATA = "1.0.0", "1.2.0", "1.5.0"

UNKNOWN_FILE, DESCRIPTIONS = 0, 1  # AssociatedFileType
TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS = 2, 3
RGB, GRAYSCALE = 1, 2  # ColorSpaceType
FEATURE_PROPERTIES, IMAGE_PROPERTIES, BOUNDING_BOX_PROPERTIES = 1, 2, 3  # ContentProperties
NORMALIZATION_OPTIONS = 1  # ProcessUnitOptions
#: BoundingBoxType: left, top, right, bottom, or in the order of an index. The default of
#: ``coordinate_type`` are fractions.
BOUNDARIES = 1

# Field name and kind, in slot order. A kind is a scalar, "string", "union" (its table is told by
# the field `NAME_type` before it), the name of a table, or one of these in brackets for a vector.
_TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    "ModelMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("version", "string"),
        ("subgraph_metadata", "[SubGraphMetadata]"),
        ("author", "string"),
        ("license", "string"),
        ("associated_files", "[AssociatedFile]"),
        ("min_parser_version", "string"),
    ),
    "SubGraphMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("input_tensor_metadata", "[TensorMetadata]"),
        ("output_tensor_metadata", "[TensorMetadata]"),
        ("associated_files", "[AssociatedFile]"),
        # Of models whose tensors are only prepared, or only mean something, together.
        *((f"{end}_process_units", "[ProcessUnit]") for end in ("input", "output")),
        *((f"{end}_tensor_groups", "[TensorGroup]") for end in ("input", "output")),
        ("custom_metadata", "[CustomMetadata]"),
    ),
    "TensorGroup": (("name", "string"), ("tensor_names", "[string]")),
    "CustomMetadata": (("name", "string"), ("data", "bytes")),
    "ImageSegmenterOptions": (("activation", "byte"), ("min_parser_version", "string")),
    "ObjectDetectorOptions": (
        ("min_parser_version", "string"),
        ("ssd_anchors_options", "SsdAnchorsOptions"),
        ("tensors_decoding_options", "TensorsDecodingOptions"),
    ),
    "SsdAnchorsOptions": (("fixed_anchors_schema", "FixedAnchorsSchema"),),
    "FixedAnchorsSchema": (("anchors", "[FixedAnchor]"),),
    "FixedAnchor": tuple((name, "float") for name in ("x_center", "y_center", "width", "height")),
    "TensorsDecodingOptions": (
        *((f"num_{what}", "int") for what in ("classes", "boxes", "coords")),
        *((name, "int") for name in ("keypoint_coord_offset", "num_keypoints")),
        ("num_values_per_keypoint", "int"),
        *((f"{side}_scale", "float") for side in "xywh"),
        ("apply_exponential_on_box_size", "bool"),
        ("sigmoid_score", "bool"),
    ),
    "TensorMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("dimension_names", "[string]"),
        ("content", "Content"),
        ("process_units", "[ProcessUnit]"),
        ("stats", "Stats"),
        ("associated_files", "[AssociatedFile]"),
    ),
    "Content": (
        ("content_properties_type", "ubyte"),
        ("content_properties", "union"),
        ("range", "ValueRange"),
    ),
    "ValueRange": (("min", "int"), ("max", "int")),
    "FeatureProperties": (),
    "ImageProperties": (("color_space", "byte"), ("default_size", "ImageSize")),
    "ImageSize": (("width", "uint"), ("height", "uint")),
    "BoundingBoxProperties": (
        ("index", "[uint]"),
        ("type", "byte"),
        ("coordinate_type", "byte"),
    ),
    "ProcessUnit": (("options_type", "ubyte"), ("options", "union")),
    "NormalizationOptions": (("mean", "[float]"), ("std", "[float]")),
    "Stats": (("max", "[float]"), ("min", "[float]")),
    "AssociatedFile": (
        ("name", "string"),
        ("description", "string"),
        ("type", "byte"),
        ("locale", "string"),
    ),
}
_UNIONS = {
    "content_properties": {
        FEATURE_PROPERTIES: "FeatureProperties",
        IMAGE_PROPERTIES: "ImageProperties",
        BOUNDING_BOX_PROPERTIES: "BoundingBoxProperties",
    },
    "options": {1: "NormalizationOptions"},
}
_SCALARS = {
    "bool": number_types.BoolFlags,
    "byte": number_types.Int8Flags,
    "ubyte": number_types.Uint8Flags,
    "int": number_types.Int32Flags,
    "uint": number_types.Uint32Flags,
    "float": number_types.Float32Flags,
}


def encode(metadata: dict[str, Any]) -> bytes:
    """Returns a ModelMetadata table as the bytes of a flatbuffer, the same on every call."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, "ModelMetadata", metadata), IDENTIFIER)
    return bytes(builder.Output())


def decode(data: bytes) -> dict[str, Any]:
    """Reads a ModelMetadata flatbuffer; fields that are absent or unknown to us are left out.

    Raises:
        ValueError: the bytes are no such flatbuffer, or damaged.
    """
    if data[4:8] != IDENTIFIER:
        raise ValueError("it does not carry the identifier M001")
    try:
        (root,) = struct.unpack_from("<I", data)
        return _Reader(data).table("ModelMetadata", root)
    except (struct.error, IndexError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def parser_version(graph: dict[str, Any]) -> str:
    """The ``min_parser_version`` of metadata with this SubGraphMetadata."""
    if "custom_metadata" in graph:
        return WITH_CUSTOM_METADATA
    return WITH_GROUPS if "output_tensor_groups" in graph else MIN_PARSER_VERSION


#: Of MediaPipe's ``image_segmenter_metadata_schema.fbs`` and that of ``object_detector``: the name
#: under which a file has a table, and that of the table.
CUSTOM = {
    "SEGMENTER_METADATA": "ImageSegmenterOptions",
    "DETECTOR_METADATA": "ObjectDetectorOptions",
}
CUSTOM_IDENTIFIER, CUSTOM_VERSION = b"V001", "1.0.0"
SEGMENTER, DETECTOR = CUSTOM
ACTIVATIONS = ("none", "sigmoid", "softmax")


def custom(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """A CustomMetadata table that holds one of `CUSTOM`."""
    builder = flatbuffers.Builder(64)
    table = {**value, "min_parser_version": CUSTOM_VERSION}
    builder.Finish(_write(builder, CUSTOM[name], table), CUSTOM_IDENTIFIER)
    return {"name": name, "data": bytes(builder.Output())}


def find_custom(graph: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What `custom` put into a SubGraphMetadata; None where there is none.

    Raises:
        ValueError: it is damaged.
    """
    for entry in graph.get("custom_metadata", []):
        data = entry.get("data", b"")
        if entry.get("name") != name or data[4:8] != CUSTOM_IDENTIFIER:
            continue
        try:
            (root,) = struct.unpack_from("<I", data)
            return _Reader(data).table(CUSTOM[name], root)
        except (struct.error, IndexError, TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error
    return None


def segmenter_options(activation: str) -> dict[str, Any]:
    """A CustomMetadata table that says what makes probabilities of a segmenter's numbers.

    Args:
        activation: one of `ACTIVATIONS`.
    """
    return custom(SEGMENTER, {"activation": ACTIVATIONS.index(activation)})


def segmenter_activation(graph: dict[str, Any]) -> str:
    """What `segmenter_options` say in a SubGraphMetadata; empty where there are none."""
    options = find_custom(graph, SEGMENTER)
    if options is None:
        return ""
    found = options.get("activation", 0)
    return ACTIVATIONS[found] if 0 <= found < len(ACTIVATIONS) else ""


def _write(builder: Any, table: str, value: dict[str, Any]) -> int:
    """Writes a table after its children, as flatbuffers demands; returns its offset."""
    fields = _TABLES[table]
    unknown = set(value) - {name for name, _ in fields}
    if unknown:
        raise KeyError(f"{table} has no field {sorted(unknown)}")
    children = {}
    for name, kind in fields:
        if name in value and kind not in _SCALARS:
            if kind == "union":
                kind = _UNIONS[name][value[f"{name}_type"]]
            children[name] = _write_child(builder, kind, value[name])
    builder.StartObject(len(fields))
    for slot, (name, kind) in enumerate(fields):
        if name in children:
            builder.PrependUOffsetTRelativeSlot(slot, children[name], 0)
        elif name in value:
            builder.PrependSlot(_SCALARS[kind], slot, value[name], 0)
    return int(builder.EndObject())


def _write_child(builder: Any, kind: str, value: Any) -> int:
    if kind == "string":
        return int(builder.CreateString(value))
    if kind == "bytes":
        # The schema forces its alignment, so that it is a flatbuffer where it stands.
        builder.StartVector(1, len(value), 16)
        builder.head -= len(value)
        builder.Bytes[builder.head : builder.head + len(value)] = value
        return int(builder.EndVector())
    if not kind.startswith("["):
        return _write(builder, kind, value)
    item = kind[1:-1]
    if item in _SCALARS:
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.Prepend(_SCALARS[item], number)
        return int(builder.EndVector())
    if isinstance(value, np.ndarray):
        return _write_rows(builder, value)
    offsets = [_write_child(builder, item, v) for v in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _write_rows(builder: Any, rows: NDArray[np.float32]) -> int:
    """Writes a vector of tables that have nothing but floats, one table for each row.

    All at once: one by one, the anchors of the largest detectors take half a minute. The vector is
    followed by the tables, and those by the list of their fields, which is the same for all.
    """
    count, columns = rows.shape
    size = 4 + 4 * columns
    starts = 4 * count + size * np.arange(count)
    end = 4 * count + size * count
    tables = np.empty((count, 1 + columns), np.int32)
    tables[:, 0] = starts - end
    tables[:, 1:] = np.ascontiguousarray(rows, np.float32).view(np.int32)
    fields = [4 + 2 * columns, size, *range(4, size, 4)]
    parts = (
        np.array([count], np.uint32),
        (starts - 4 * np.arange(count)).astype(np.uint32),
        tables,
        np.array(fields + [0] * (len(fields) % 2), np.uint16),
    )
    block = b"".join(part.tobytes() for part in parts)
    builder.Prep(4, len(block))
    builder.head -= len(block)
    builder.Bytes[builder.head : builder.head + len(block)] = block
    return int(builder.Offset())


class _Reader:
    """Reads tables; what it lists may not outgrow the bytes, as in a crafted file it could."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.budget = 4 * len(data)

    def table(self, name: str, position: int) -> dict[str, Any]:
        table = Table(self.data, position)
        found: dict[str, Any] = {}
        for slot, (field, kind) in enumerate(_TABLES[name]):
            offset = table.Offset(4 + 2 * slot)
            if not offset:
                continue
            at = position + offset
            if kind in _SCALARS:
                found[field] = table.Get(_SCALARS[kind], at)
            elif kind.startswith("["):
                found[field] = self._vector(table, kind[1:-1], offset)
            elif kind == "bytes":
                start, length = table.Vector(offset), table.VectorLen(offset)
                self._take(length)
                found[field] = bytes(self.data[start : start + length])
            elif kind == "union":
                kind = _UNIONS[field].get(found.get(f"{field}_type", 0), "")
                if kind:  # a union member that edgekit has no use for is skipped
                    found[field] = self.table(kind, table.Indirect(at))
            else:
                found[field] = self._item(table, kind, at)
        return found

    def _vector(self, table: Any, kind: str, offset: int) -> list[Any]:
        start, length = table.Vector(offset), table.VectorLen(offset)
        self._take(length)
        return [self._item(table, kind, start + 4 * i) for i in range(length)]

    def _item(self, table: Any, kind: str, at: int) -> Any:
        if kind in _SCALARS:
            return table.Get(_SCALARS[kind], at)
        if kind == "string":
            text = table.String(at)
            self._take(len(text))
            return text.decode("utf-8", errors="replace")
        return self.table(kind, table.Indirect(at))

    def _take(self, count: int) -> None:
        self.budget -= count
        if self.budget < 0:
            raise ValueError("its lists are longer than the bytes that hold them")
