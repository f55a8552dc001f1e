"""Describes a model that Vela has made: for which NPU, and what is left to the CPU."""

from __future__ import annotations

import struct
from typing import Any

from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.system.text import size
from edgekit.targets.ethosu.options import CUSTOM_OP

#: How the driver's actions begin, and the tag of the action that names the hardware.
FOURCC = (b"COP1", b"COP2")
_CONFIG = 0x01
#: By the highest four bits of the hardware's register CONFIG.
PRODUCTS = {0: "ethos-u55", 1: "ethos-u65", 2: "ethos-u85"}
#: What the inputs of the operator are, in the order of Arm's driver.
_STREAM, _CONSTANTS, _SCRATCH = 0, 1, 2


def describe_compiled(model: TFLiteModel) -> dict[str, Any] | None:
    """Describes a compiled model as JSON values; None for a model that is not compiled.

    Returns:
        ``parts`` (of each that runs on the NPU: the operator's ``index``, ``accelerator`` or None,
        ``command_bytes``, ``constant_bytes``, ``scratch_bytes`` (SRAM, or DRAM where that is the
        arena), ``inputs`` and ``outputs`` by name) and ``cpu_operators`` (index and name).
    """
    parts = [op for op in model.operators if op.is_custom and op.name == CUSTOM_OP]
    if not parts:
        return None
    others = [op for op in model.operators if not (op.is_custom and op.name == CUSTOM_OP)]
    return {
        "parts": [_describe(model, op) for op in parts],
        "cpu_operators": [{"index": op.index, "name": op.name} for op in others],
    }


def _describe(model: TFLiteModel, op: Operator) -> dict[str, Any]:
    own = [model.tensors[i] for i in op.inputs[:4] if i >= 0]
    stream = own[_STREAM].data.tobytes() if own else b""
    constants = own[_CONSTANTS].nbytes if len(own) > _CONSTANTS else 0
    scratch = own[_SCRATCH].shape if len(own) > _SCRATCH else ()
    return {
        "index": op.index,
        "accelerator": accelerator_of(stream),
        "command_bytes": len(stream),
        "constant_bytes": constants,
        "scratch_bytes": scratch[0] if len(scratch) == 1 else None,
        "inputs": [model.tensors[i].name for i in op.inputs[4:] if i >= 0],
        "outputs": [model.tensors[i].name for i in op.outputs if i >= 0],
    }


def accelerator_of(stream: bytes) -> str | None:
    """Returns the NPU that a command stream is for, such as ``ethos-u55-128``; None if unknown."""
    if stream[:4] not in FOURCC or len(stream) < 12:
        return None
    tag, config = struct.unpack_from("<II", stream, 4)
    product = PRODUCTS.get(config >> 28)
    return f"{product}-{1 << (config & 0xF)}" if tag & 0xFF == _CONFIG and product else None


def compiled_lines(found: dict[str, Any]) -> list[str]:
    """Says what `describe_compiled` found."""
    count = len(found["parts"])
    lines = ["", f"{CUSTOM_OP}: {count} part{'s' * (count != 1)} on the NPU"]
    for part in found["parts"]:
        lines += [
            f"  operator {part['index']}: {', '.join(part['inputs'])} to "
            f"{', '.join(part['outputs'])}",
            f"    NPU          {part['accelerator'] or 'not stated'}",
            f"    commands     {size(part['command_bytes'])}",
            f"    constants    {size(part['constant_bytes'])}",
            f"    scratch      {size(part['scratch_bytes'])}",
        ]
    left = [f"{op['index']} {op['name']}" for op in found["cpu_operators"]]
    return [*lines, f"  on the CPU   {', '.join(left) or 'nothing'}"]
