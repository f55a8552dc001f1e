"""Describes a model that the Edge TPU compiler has made: what runs where, and what it needs."""

from __future__ import annotations

from typing import Any

from edgekit.converters.tflite.file import CUSTOM_OP, Operator, TFLiteModel
from edgekit.errors import UsageError
from edgekit.targets.edgetpu.executable import Layer, Package, read_package


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
