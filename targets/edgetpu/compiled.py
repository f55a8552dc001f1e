"""Describes a model that the Edge TPU compiler has made: what runs where, and what it needs."""

from __future__ import annotations

from typing import Any

from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.errors import UsageError
from edgekit.system.text import size
from edgekit.targets.edgetpu.executable import Layer, Package, read_package
from edgekit.targets.edgetpu.options import CUSTOM_OP


def describe_compiled(model: TFLiteModel) -> dict[str, Any] | None:
    """Describes a compiled model as JSON values; None for a model that is not compiled.

    Returns:
        ``subgraphs`` (how many parts run on the Edge TPU), ``cpu_operators`` (index and name of
        the others, in the order of execution), ``input_types`` and ``output_types``, and
        ``packages``: for every part its operator's ``index`` and either ``problem`` (why it
        cannot be read) or ``min_runtime_version``, ``compiler_version`` ("" where it is not
        stated), ``chip``,
        ``executables`` (kinds), ``cached_bytes`` (parameters kept on the chip),
        ``streamed_bytes`` (parameters transferred for every inference), ``instruction_bytes``
        and ``scratch_bytes`` (of all executables), ``estimated_cycles`` (of the executable that
        runs for every inference, or None), ``caching_token`` (hexadecimal; models that were
        compiled together have the same) and ``inputs`` and ``outputs`` (name, shape, dtype,
        size_bytes).
    """
    parts = [op for op in model.operators if op.is_custom and op.name == CUSTOM_OP]
    if not parts:
        return None
    others = [op for op in model.operators if not (op.is_custom and op.name == CUSTOM_OP)]
    return {
        "subgraphs": len(parts),
        "cpu_operators": [{"index": op.index, "name": op.name} for op in others],
        "input_types": [model.tensors[i].dtype for i in model.inputs],
        "output_types": [model.tensors[i].dtype for i in model.outputs],
        "packages": [_describe(op) for op in parts],
    }


def _describe(operator: Operator) -> dict[str, Any]:
    try:
        package = read_package(operator.custom_options)
    except UsageError as error:
        return {"index": operator.index, "problem": error.cause}
    return {"index": operator.index, **_figures(package)}


def _figures(package: Package) -> dict[str, Any]:
    executables = package.executables
    main = next((e for e in executables if e.kind != "parameter-caching"), executables[0])
    return {
        "min_runtime_version": package.min_runtime_version,
        "compiler_version": package.compiler_version,
        "chip": main.chip,
        "executables": [e.kind for e in executables],
        "cached_bytes": package.cached_bytes,
        "streamed_bytes": package.streamed_bytes,
        "instruction_bytes": sum(e.instruction_bytes for e in executables),
        "scratch_bytes": sum(e.scratch_bytes for e in executables),
        "estimated_cycles": main.estimated_cycles,
        "caching_token": f"{package.token:#018x}" if package.token else None,
        "inputs": [_layer(layer) for layer in main.inputs],
        "outputs": [_layer(layer) for layer in main.outputs],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "shape": list(layer.shape),
        "dtype": layer.dtype,
        "size_bytes": layer.size_bytes,
    }


def compiled_lines(found: dict[str, Any]) -> list[str]:
    """Says what the compiler has made, and what it has left to the CPU, by `describe_compiled`."""
    count = found["subgraphs"]
    types = [", ".join(dict.fromkeys(found[f"{end}_types"])) for end in ("input", "output")]
    lines = [
        "",
        f"edgetpu: {count} subgraph{'s' * (count != 1)} on the Edge TPU, "
        f"{types[0] or 'nothing'} in, {types[1] or 'nothing'} out",
    ]
    for package in found["packages"]:
        lines += _package(package)
    left = [f"{op['index']} {op['name']}" for op in found["cpu_operators"]]
    return [*lines, f"  on the CPU   {', '.join(left) or 'nothing'}"]


def _package(package: dict[str, Any]) -> list[str]:
    first = f"  operator {package['index']}"
    if "problem" in package:
        return [f"{first}: its contents cannot be read: {package['problem']}"]
    cycles, token = package["estimated_cycles"], package["caching_token"]
    shared = f"{token}; models that were compiled together have the same" if token else "none"
    return [
        f"{first}: {', '.join(package['executables'])}",
        f"    parameters   {size(package['cached_bytes'])} cached on the chip, "
        f"{size(package['streamed_bytes'])} streamed for every inference",
        f"    instructions {size(package['instruction_bytes'])}, "
        f"scratch {size(package['scratch_bytes'])}",
        f"    needs        Edge TPU runtime {package['min_runtime_version']} or newer, "
        f"chip {package['chip'] or 'not stated'}",
        f"    compiler     {package['compiler_version'] or 'not stated'}",
        f"    cycles       {'not stated' if cycles is None else f'{cycles:,} (an estimate)'}",
        f"    cache token  {shared}",
    ]
