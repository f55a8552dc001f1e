"""Cuts single operators out of a .tflite file, each into a file of its own."""

from __future__ import annotations

import copy
from typing import Any

from edgekit.converters.tflite_file import MAGIC, parse, schema


class Slicer:
    """A file whose operators can be had one by one.

    Args:
        data: the bytes of a .tflite file.

    Raises:
        UsageError: the bytes are not TFLite, or damaged.
    """

    def __init__(self, data: bytes) -> None:
        parse(data)  # says what is wrong with a damaged file, where unpacking would just fail
        self.model: Any = schema().ModelT.InitFromPackedBuf(data, 0)

    def __len__(self) -> int:
        """How many operators there are."""
        return len(self.model.subgraphs[0].operators)

    def tensors(self, index: int) -> list[Any]:
        """The inputs and then the outputs of an operator, as the schema's objects."""
        graph = self.model.subgraphs[0]
        operator = graph.operators[index]
        ends = [*operator.inputs, *operator.outputs]
        return [graph.tensors[i] for i in ends if i >= 0]  # -1: an optional input that is absent

    def cut(self, index: int) -> bytes:
        """Returns a file that holds one operator.

        Its tensors keep their names, types, shapes and quantization. Constants stay constants;
        the other inputs are the file's inputs, in the operator's order.
        """
        import flatbuffers

        api = schema()
        operator = self.model.subgraphs[0].operators[index]
        part = api.ModelT()
        part.version, part.description, part.metadata = 3, b"", []
        part.operatorCodes = [self.model.operatorCodes[operator.opcodeIndex]]
        part.buffers = [api.BufferT()]
        graph = api.SubGraphT()
        graph.tensors = [copy.copy(tensor) for tensor in self.tensors(index)]
        for tensor in graph.tensors:
            buffer = self.model.buffers[tensor.buffer]
            tensor.buffer = 0
            if buffer.data is not None and len(buffer.data):
                part.buffers.append(buffer)
                tensor.buffer = len(part.buffers) - 1
        count = sum(i >= 0 for i in operator.inputs)
        graph.inputs = [i for i in range(count) if graph.tensors[i].buffer == 0]
        graph.outputs = list(range(count, len(graph.tensors)))
        step = copy.copy(operator)
        places = iter(range(count))
        step.inputs = [next(places) if i >= 0 else -1 for i in operator.inputs]
        step.opcodeIndex, step.outputs = 0, graph.outputs
        graph.operators, part.subgraphs = [step], [graph]
        builder = flatbuffers.Builder(4096)
        builder.Finish(part.Pack(builder), MAGIC)
        return bytes(builder.Output())
