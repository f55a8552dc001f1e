"""Cuts operators out of a .tflite file into a file of their own: one, the first few, or a path."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from edgekit.converters.tflite.file import MAGIC, METADATA_NAME, parse, schema
from edgekit.errors import UsageError


class Slicer:
    """A file whose operators can be had one by one, or from the first up to any.

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
        operator = self.model.subgraphs[0].operators[index]
        graph = schema().SubGraphT()
        graph.tensors = [copy.copy(tensor) for tensor in self.tensors(index)]
        count = sum(i >= 0 for i in operator.inputs)
        step = copy.copy(operator)
        places = iter(range(count))
        step.inputs = [next(places) if i >= 0 else -1 for i in operator.inputs]
        step.outputs = list(range(count, len(graph.tensors)))
        graph.inputs = [i for i in range(count) if not self.is_constant(graph.tensors[i])]
        graph.operators, graph.outputs = [step], step.outputs
        return self._pack(graph)

    def prefix(self, count: int) -> bytes:
        """Returns a file that holds the first ``count`` operators in the order of execution.

        Its inputs are those of the model that these operators read, and its outputs are the
        tensors that they write and none of them reads.

        Args:
            count: from 1 to the number of operators.

        Raises:
            UsageError: the model has further subgraphs, which its operators may call.
        """
        steps = self._main().operators[:count]
        return self._pack(self._part(steps))

    def span(self, start: int, stop: int) -> bytes:
        """Returns a file that holds the operators from one up to another.

        Its inputs are those of the tensors they read that they do not write, and its outputs the
        tensors that they write and none of them reads.

        Args:
            start: the first one's index.
            stop: the index behind the last one's.

        Raises:
            UsageError: the model has further subgraphs, which its operators may call.
        """
        graph = self._part(self._main().operators[start:stop])
        made = {int(i) for step in graph.operators for i in step.outputs}
        read = dict.fromkeys(int(i) for step in graph.operators for i in step.inputs if i >= 0)
        graph.inputs = [i for i in read if i not in made and not self.is_constant(graph.tensors[i])]
        return self._pack(graph)

    def ending_at(self, index: int) -> bytes:
        """Returns a file that ends with one operator: it, and all that leads to its inputs.

        Its only output is the operator's first, and it keeps the model's description of the input,
        so that it is fed as the model is.

        Args:
            index: of the operator.

        Raises:
            UsageError: the model has further subgraphs, which its operators may call.
        """
        operators = self._main().operators
        wanted, kept = {index}, []
        for place in range(index, -1, -1):
            if place in wanted:
                kept.append(operators[place])
                read = set(_given(operators[place].inputs))
                before = range(place)
                wanted |= {k for k in before if read & set(_given(operators[k].outputs))}
        return self._pack(self._part(kept[::-1], operators[index].outputs[:1]), METADATA_NAME)

    def _main(self) -> Any:
        if len(self.model.subgraphs) != 1:
            raise UsageError(
                "the model cannot be cut",
                cause=f"it has {len(self.model.subgraphs)} subgraphs that call each other",
            )
        return self.model.subgraphs[0]

    def _part(self, operators: Sequence[Any], outputs: Iterable[int] | None = None) -> Any:
        """A graph of these operators; what none of them reads is its output unless it is given."""
        whole = self._main()
        steps = [copy.copy(operator) for operator in operators]
        ends = ("inputs", "outputs", "intermediates")  # the last are an LSTM's scales
        lists = {end: [list(_given(getattr(step, end))) for step in steps] for end in ends}
        read = {i for step in lists["inputs"] for i in step}
        written = [i for step in lists["outputs"] for i in step]
        others = {i for step in lists["intermediates"] for i in step}
        kept = sorted({*read, *written, *others} - {-1})
        place = {-1: -1} | {old: new for new, old in enumerate(kept)}
        graph = schema().SubGraphT()
        graph.tensors = [copy.copy(whole.tensors[i]) for i in kept]
        graph.inputs = [place[i] for i in _given(whole.inputs) if i in read]
        open_ends = [i for i in written if i not in read]
        graph.outputs = [place[i] for i in (open_ends if outputs is None else outputs)]
        for end in ends:
            for step, old in zip(steps, lists[end], strict=True):
                setattr(step, end, [place[i] for i in old])
        graph.operators = steps
        return graph

    def is_constant(self, tensor: Any) -> bool:
        """Whether a tensor of the model has its values in the file."""
        data = self.model.buffers[tensor.buffer].data
        return data is not None and len(data) > 0

    def _pack(self, graph: Any, *described: str) -> bytes:
        """Returns a file with this graph and what it needs of the model's constants and codes.

        Args:
            graph: the graph.
            described: names of the model's metadata that the file keeps.
        """
        import flatbuffers

        part = schema().ModelT()
        names = [name.encode() for name in described]
        notes = [note for note in self.model.metadata or () if note.name in names]
        part.version, part.description = 3, b""
        part.metadata = [copy.copy(note) for note in notes]
        constants = sorted(
            {t.buffer for t in graph.tensors if self.is_constant(t)} | {n.buffer for n in notes}
        )
        part.buffers = [schema().BufferT(), *(self.model.buffers[i] for i in constants)]
        place = {old: new for new, old in enumerate(constants, start=1)}
        for tensor in graph.tensors:
            tensor.buffer = place.get(tensor.buffer, 0)
        for note in part.metadata:
            note.buffer = place[note.buffer]
        codes = sorted({step.opcodeIndex for step in graph.operators})
        part.operatorCodes = [self.model.operatorCodes[code] for code in codes]
        for step in graph.operators:
            step.opcodeIndex = codes.index(step.opcodeIndex)
        part.subgraphs = [graph]
        builder = flatbuffers.Builder(4096)
        builder.Finish(part.Pack(builder), MAGIC)
        return bytes(builder.Output())


def _given(indices: Any) -> Any:
    """A list of the schema's that is left out where it is empty."""
    return [] if indices is None else indices
