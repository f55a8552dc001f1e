"""The blocks of a .tflite file: runs of operators that computing a network's time adds up.

A block is what `edgekit.networks.efficientnet.architecture.build_graph` calls one; what is before
the first belongs to the stem and what is behind the last to the head. Two blocks are the same where
their operators, options, shapes and types are, whatever their weights and names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.converters.tflite.slice import Slicer
from edgekit.errors import UsageError

STEM, HEAD = "stem", "head"
_BLOCK = r"(block\d+[a-z]+)(_.*|)"


@dataclass(frozen=True)
class Block:
    """A run of operators.

    Attributes:
        name: of the block in its network, such as ``block2a``.
        key: the same of blocks that take the same time; a hash.
        shapes: of what it reads first and of what it writes last, without the batch.
        start: its first operator.
        stop: the operator behind its last.
    """

    name: str
    key: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    start: int
    stop: int


def find_blocks(slicer: Slicer) -> tuple[Block, ...]:
    """The blocks of a file, in order; together they are all its operators.

    Raises:
        UsageError: no tensor has a block's name, or blocks are entangled.
    """
    graph = slicer.model.subgraphs[0]
    names: list[str] = []
    for operator in graph.operators:
        written = graph.tensors[operator.outputs[0]].name.decode("utf-8", "replace")
        match = re.fullmatch(_BLOCK, written)
        names.append(match[1] if match else HEAD if any(names) and _is_block(names) else STEM)
    order = list(dict.fromkeys(names))
    if order in ([], [STEM]) or names != sorted(names, key=order.index):
        raise UsageError(
            "the file has no blocks to add up",
            cause="its tensors have other names than edgekit writes",
            hint="a file of `edgekit build`",
        )
    found = []
    for name in order:
        start = names.index(name)
        stop = start + names.count(name)
        found.append(_block(slicer, name, start, stop))
    return tuple(found)


def _is_block(names: Sequence[str]) -> bool:
    return names[-1] != STEM


def _block(slicer: Slicer, name: str, start: int, stop: int) -> Block:
    graph = slicer.model.subgraphs[0]
    steps = graph.operators[start:stop]
    places: dict[int, int] = {}
    record = [_operator(slicer, step, places) for step in steps]
    digest = hashlib.sha256(json.dumps(record, default=_plain).encode()).hexdigest()
    ends = (steps[0].inputs[0], steps[-1].outputs[0])
    before, after = (tuple(int(side) for side in graph.tensors[end].shape[1:]) for end in ends)
    return Block(name, digest[:24], (before, after), start, stop)


def _operator(slicer: Slicer, step: Any, places: dict[int, int]) -> list[Any]:
    """All of an operator that its time depends on; ``places`` numbers the tensors met so far."""
    code = slicer.model.operatorCodes[step.opcodeIndex]
    options = getattr(step, "builtinOptions", None)
    kind = [code.builtinCode, code.customCode, vars(options) if options is not None else None]
    ends = [_tensor(slicer, end, places) for end in (*step.inputs, *step.outputs)]
    return [*kind, len(step.inputs), ends]


def _tensor(slicer: Slicer, index: int, places: dict[int, int]) -> list[Any] | None:
    if index < 0:
        return None
    tensor = slicer.model.subgraphs[0].tensors[index]
    scales = getattr(tensor.quantization, "scale", None)
    count = 0 if scales is None else len(scales)
    place = -1 if slicer.is_constant(tensor) else places.setdefault(int(index), len(places))
    return [place, list(tensor.shape), tensor.type, count]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value.tolist() if hasattr(value, "tolist") else vars(value)
