"""What Qualcomm's compiler has written of each operator, and of the chip that it compiled for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.targets.npus.mapping import NPUMapping, Operator

#: They go with the operators between them.
_BORDERS = ("QuantizeLinear", "DequantizeLinear")


def read_trace(trace: Mapping[str, Any], by: str) -> NPUMapping:
    """Returns where each operator runs.

    Args:
        trace: what ``enable_framework_op_trace`` writes, version 2 of its schema.
        by: the compiler and its version.

    Raises:
        EdgekitError: it is of another form.
    """
    try:
        mapped = tuple(
            Operator(one["dst_qnn_op_type"], str(one["dst_name"]))
            for graph in trace["subgraph_traces"]
            for one in graph["op_mappings"]
        )
        left = tuple(
            Operator(one["op_type"], one["node_name"], one["reason"])
            for one in trace["unsupported_nodes"]
            if one["op_type"] not in _BORDERS
        )
        counts = {"graphs": int(trace["summary"]["qnn_subgraphs"])}
    except (KeyError, TypeError, ValueError) as error:
        raise EdgekitError(
            f"{by} wrote a list of operators that cannot be read",
            cause=f"{type(error).__name__}: {error}",
        ) from error
    return NPUMapping(by, mapped, left, counts)


@dataclass(frozen=True)
class CompiledFor:
    """What a context binary says of its chip.

    Attributes:
        soc: its name.
        arch: version of its Hexagon tensor processor.
        vtcm_bytes: of its tightly coupled memory.
    """

    soc: str
    arch: int
    vtcm_bytes: int


def read_chip(context: bytes) -> CompiledFor | None:
    """Returns the chip of a context binary, which holds it as text; None where it does not."""
    found = [
        re.search(pattern, context)
        for pattern in (rb";soc_type=(\w+);", rb";arch=(\d+);", rb";vtcm_size=(\d+);")
    ]
    if not all(found):
        return None
    soc, arch, vtcm = (one[1].decode() for one in found if one is not None)
    return CompiledFor(soc, int(arch), int(vtcm))
