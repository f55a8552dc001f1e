"""Gives a model in a test what `edgekit.converters.tflite.about` says of one."""

from pathlib import Path
from typing import Any

import flatbuffers

from edgekit.converters.tflite import container
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.about import About, describe
from edgekit.converters.tflite.file import METADATA_NAME
from edgekit.tasks.classification.task import EMBEDDING, LOGITS


def embed(model: Path | bytes, **about: Any) -> bytes:
    """The model's bytes with metadata, replacing what it had.

    Args:
        model: a .tflite file or its bytes.
        about: the fields of `About`.
    """
    data = model if isinstance(model, bytes) else Path(model).read_bytes()
    parsed = tflite_file.parse(data)
    image, scores = parsed.tensors[parsed.inputs[0]], parsed.tensors[parsed.outputs[0]]
    outputs = (LOGITS if about["labels"] else EMBEDDING,)
    parts = describe(About(outputs=outputs, **about), image, [scores])
    return container.pack(
        attach(data[: container.flatbuffer_size(data)], parts.metadata), parts.files
    )


def attach(model: bytes, metadata: bytes) -> bytes:
    """Puts a new root with the metadata in front of the flatbuffer ``model``.

    Offsets in a flatbuffer only point forward, so a new root before the old bytes can refer to
    everything in them.
    """
    schema = tflite_file.schema()
    model += bytes(-len(model) % 16)
    root = schema.Model.GetRootAs(model, 0)
    builder = flatbuffers.Builder(len(model) + len(metadata) + 65536)
    builder.CreateByteVector(model)

    def moved(position: int) -> int:
        return len(model) - position  # flatbuffers counts a position from the end

    builder.Prep(16, len(metadata))  # buffers are aligned to 16 bytes, and so is the old part
    vector = builder.CreateByteVector(metadata)
    schema.BufferStart(builder)
    schema.BufferAddData(builder, vector)
    buffer = schema.BufferEnd(builder)

    buffers = [moved(root.Buffers(i)._tab.Pos) for i in range(root.BuffersLength())]
    entries = [root.Metadata(i) for i in range(root.MetadataLength())]
    kept = [moved(entry._tab.Pos) for entry in entries if entry.Name() != METADATA_NAME.encode()]
    name = builder.CreateString(METADATA_NAME)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, name)
    schema.MetadataAddBuffer(builder, len(buffers))
    kept.append(schema.MetadataEnd(builder))
    vectors = {4: _offsets(builder, [*buffers, buffer]), 6: _offsets(builder, kept)}

    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, root.Version())
    for slot in range(1, 10):
        offset = root._tab.Offset(4 + 2 * slot)
        if slot in vectors:
            builder.PrependUOffsetTRelativeSlot(slot, vectors[slot], 0)
        elif offset:
            target = moved(root._tab.Indirect(root._tab.Pos + offset))
            builder.PrependUOffsetTRelativeSlot(slot, target, 0)
    builder.Finish(schema.ModelEnd(builder), tflite_file.MAGIC)
    return bytes(builder.Output())


def _offsets(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
