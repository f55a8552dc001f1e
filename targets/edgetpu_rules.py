"""What the Edge TPU compiler 16.0 demands of a whole file, and what `check` of the target finds.

Sources: coral.ai "TensorFlow models on the Edge TPU" (model requirements), the compiler's failure
texts, and the kernels of TensorFlow Lite 2.5, on which the compiler prepares a model before it
compiles it. An error means that the compiler refuses the file or maps nothing; a warning, that an
operator stays on the CPU, and by the compiler's rule of one subgraph everything behind it too.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.converters.tflite_checks import (
    ERROR,
    WARNING,
    Finding,
    Rule,
    apply_rules,
    at,
    fixed_scale,
    too_new,
)
from edgekit.converters.tflite_file import TFLiteModel
from edgekit.targets.edgetpu_limits import Reason, why_not
from edgekit.targets.edgetpu_memory import MIB, SRAM_BYTES, activations
from edgekit.targets.edgetpu_status import CUSTOM_OP

_INT32_MAX = 2**31 - 1
_BOUNDS = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}


def check_edgetpu(model: TFLiteModel) -> list[Finding]:
    """Returns what keeps ``model``, or an operator of it, off the Edge TPU."""
    found = apply_rules(REQUIREMENTS, model)
    left_out = [
        Finding(WARNING, "operator", at(model.operators[index]), reason.text, reason.fix)
        for index, reason in unmapped(model).items()
    ]
    return found + left_out


def unmapped(model: TFLiteModel) -> dict[int, Reason]:
    """Why an operator by itself will not be mapped, by the operator's index; the others may be."""
    reasons = {op.index: why_not(model, op) for op in model.operators}
    return {index: reason for index, reason in reasons.items() if reason}


def refusals(model: TFLiteModel) -> list[Finding]:
    """Returns what makes the compiler refuse the whole file, or leave all of it on the CPU."""
    return [finding for finding in apply_rules(REQUIREMENTS, model) if finding.severity == ERROR]


def _quantized(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    """Whether any operator computes in 8 bits; converters' float ends do not matter here."""
    computing = [op for op in model.operators if op.name not in ("QUANTIZE", "DEQUANTIZE")]
    kinds = {model.tensors[i].dtype for op in computing for i in op.outputs}
    if CUSTOM_OP in model.custom_codes or not computing or kinds & {"int8", "uint8"}:
        return
    read = (model.tensors[i] for op in computing for i in op.inputs if i >= 0)
    dynamic = "float32" in kinds and any(t.is_constant and t.dtype == "int8" for t in read)
    what = "8-bit weights, but float activations (dynamic range)" if dynamic else "no 8-bit tensor"
    yield "model", f"Model not quantized: its operators have {what}"


def _dynamic(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in sorted({*model.inputs, *model.outputs}):
        if min(model.tensors[index].shape, default=0) < 0:
            yield at(model.tensors[index]), "its size is only known at run time"


def _open_batch(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in model.inputs:
        tensor = model.tensors[index]
        if not tensor.is_static and min(tensor.shape, default=0) >= 0:
            yield at(tensor), "its batch is left open, which the compiler has refused at times"


def _batch(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in model.inputs:
        shape = model.tensors[index].shape
        if len(shape) == 4 and shape[0] > 1:
            yield at(model.tensors[index]), f"its batch is {shape[0]}"


def _bounds(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    """A fused bound is divided by the output's scale, as an int32 (kernel_util.cc, Quantize)."""
    for op in model.operators:
        scale = model.tensors[op.outputs[0]].scale if op.outputs else None
        bound = _BOUNDS.get(op.fused_activation)
        if scale and bound and bound / scale > _INT32_MAX:
            yield (
                at(op),
                f"its output's scale is {scale:.3g}: {op.fused_activation} overflows int32",
            )


def _large(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        held = activations(model, op)
        if held > SRAM_BYTES:
            yield at(op), f"its inputs and outputs take {held / MIB:.1f} MiB; the chip has 8"


def _nothing_maps(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    reasons = unmapped(model)
    if CUSTOM_OP in model.custom_codes:
        yield "model", "it has been compiled for the Edge TPU already"
    elif len(reasons) == len(model.operators):
        first = next(iter(reasons.values()), None)
        text = first.text if first else "it has no operator"
        yield "model", f"no operator of it can run on the Edge TPU: {text}"


#: Each with what to do; an error means that nothing will run on the Edge TPU.
REQUIREMENTS = (
    Rule("quantized", _quantized, "build it in int8 (w8a8-static)"),
    Rule("static-shape", _dynamic, "convert with fixed sizes and batch 1"),
    Rule("open-batch", _open_batch, "convert with batch 1", WARNING),
    Rule("batch-1", _batch, "convert with batch 1"),
    Rule("op-version", too_new, "write the file with edgekit, which keeps to old versions"),
    Rule("fixed-scale", fixed_scale, "give a sigmoid the range 0 to 255/256"),
    Rule("no-overflow", _bounds, "prune the dead channels before it, or give it a larger range"),
    Rule(
        "activations",
        _large,
        "lower the resolution, or compile with --search-delegate: the compiler has refused models "
        "for large activation tensors",
        WARNING,
    ),
    Rule("maps", _nothing_maps, "compile a fully quantized int8 model"),
)
