"""Photos in parquet, as the library datasets writes them."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

CLASSES = ("daisy", "rose / wild", "tulip")


def photo(index, kind="PNG"):
    """The bytes of a small photo that no other index has."""
    pixels = np.random.default_rng(index).integers(0, 256, (12, 10, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def features(names=CLASSES, label="label"):
    """What the library writes of its columns."""
    return {
        "image": {"_type": "Image"},
        label: {"names": list(names), "_type": "ClassLabel"} if names else {"dtype": "int64"},
    }


def parquet(rows, *, label="label", said=None, row_group=4, extra=None, image="image"):
    """The bytes of a file.

    Args:
        rows: of (bytes or None, class).
        label: the column of the classes; None for none.
        said: the features in the schema's metadata; None for none.
        row_group: rows of a group; the library's are 100.
        extra: further columns.
        image: the column of the photos.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": data, "path": f"{k}.png"} for k, (data, _) in enumerate(rows)]
    columns = {image: pa.array(images, struct)}
    if label is not None:
        columns[label] = pa.array([value for _, value in rows])
    columns |= extra or {}
    table = pa.table(columns)
    if said is not None:
        record = json.dumps({"info": {"features": said}})
        table = table.replace_schema_metadata({"huggingface": record})
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=row_group)
    return stream.getvalue()


def rows(count, first=0, names=CLASSES):
    """As many photos, a class after the other."""
    return [(photo(first + k), k % len(names)) for k in range(count)]
