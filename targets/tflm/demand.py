"""What a file asks of the program that runs it with TFLite Micro."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.converters.tflite.file import TFLiteModel
from edgekit.errors import CompileError, MissingToolError
from edgekit.targets.base import Demand
from edgekit.targets.tflm.interpreter import measure_memory
from edgekit.targets.tflm.operators import registration, registrations
from edgekit.targets.tflm.toolchain import TOOLCHAIN


def find_demand(path: Path, model: TFLiteModel) -> Demand:
    """Returns the operators to register, the size of the model and, where known, the arena."""
    methods = registrations(model)
    lines = [f"register {len(methods)} operators, in a MicroMutableOpResolver<{len(methods)}>:"]
    lines += [f"  {method}" for method in methods]
    others = [code for code in model.custom_codes if registration(code, is_custom=True) is None]
    lines += [f"  and {code}, which is not TFLite Micro's own" for code in others]
    lines.append(f"flash: {model.size_bytes:,} bytes, the model")
    values: dict[str, Any] = {
        "register": list(methods),
        "others": others,
        "memory": {"model": model.size_bytes},
    }
    try:
        found = measure_memory(path)
    except (CompileError, MissingToolError) as error:
        why = ": ".join(filter(None, (error.message, error.cause)))
        lines.append(f"arena: unknown, as {why}" + (f"; {error.hint}" if error.hint else ""))
        return Demand(tuple(lines), values | {"unknown": why})
    lines += [
        f"arena: {found.arena:,} bytes, {found.persistent:,} of them persistent and "
        f"{found.shared:,} for activations and scratch memory",
        f"  by TFLite Micro {TOOLCHAIN.version} on this host: a 32-bit chip needs less for "
        "pointers, and optimized kernels need more scratch memory",
    ]
    return Demand(tuple(lines), values | {"memory": found.to_memory(model.size_bytes)})
