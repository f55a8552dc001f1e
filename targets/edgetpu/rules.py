"""What the Edge TPU compiler 16.0 demands of a whole file, and what `check` of the target finds.

Sources: coral.ai "TensorFlow models on the Edge TPU" (model requirements), the compiler's failure
texts, and the kernels of TensorFlow Lite 2.5, on which the compiler prepares a model before it
compiles it; `EVIDENCE` names them by rule. Activations above the chip's 8 MiB and a batch that is
left open break no rule: models with 15.9 MiB, and files with an open batch, were compiled whole. An
error means that the compiler refuses the file or maps nothing; a warning, that an
operator stays on the CPU, and by the compiler's rule of one subgraph everything behind it too, or
that something costs time or is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgekit.converters.findings import WARNING, Finding
from edgekit.converters.tflite.checks import Rule, apply_rules, at, fixed_scale, too_new
from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.system.text import size
from edgekit.targets.edgetpu.evidence import Evidence, documented, issue, log, pair, public
from edgekit.targets.edgetpu.limits import Reason
from edgekit.targets.edgetpu.memory import TILE_BYTES, layer_of
from edgekit.targets.edgetpu.operators import CUSTOM, doubt_of, why_not
from edgekit.targets.edgetpu.options import CUSTOM_OP
from edgekit.targets.last_map import SMALLER, last_map_rule

_INT32_MAX = 2**31 - 1
#: Newer than in TensorFlow 2.5 (which has TILE up to 2), and compiled by version 16 all the same.
_TAKEN = {"TILE": 3}
#: Pixels of the smallest ARG_MAX of which users say so (issues 72, 270 and 315).
_SLOW_ARG_MAX = 361 * 361
_BOUNDS = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}


def check_edgetpu(model: TFLiteModel, reasons: Mapping[int, Reason] | None = None) -> list[Finding]:
    """Returns what keeps ``model``, or an operator of it, off the Edge TPU.

    Args:
        model: the file.
        reasons: of `unmapped`, where they are known.
    """
    known = unmapped(model) if reasons is None else reasons
    maps = Rule("maps", lambda file: _nothing_maps(file, known), _REPLACE)
    found = apply_rules((*REQUIREMENTS, maps), model)
    doubts = [doubt_of(model, op) for op in model.operators if op.index not in known]
    left_out = [
        Finding(WARNING, "operator", at(model.operators[index]), str(reason), reason.fix)
        for index, reason in known.items()
    ]
    return [*found, *left_out, *filter(None, doubts)]


def unmapped(model: TFLiteModel) -> dict[int, Reason]:
    """Why an operator by itself will not be mapped, by the operator's index; the others may be."""
    reasons = {op.index: why_not(model, op) for op in model.operators}
    return {index: reason for index, reason in reasons.items() if reason}


def _quantized(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    """Whether any operator computes in 8 bits; converters' float ends do not matter here."""
    computing = [op for op in model.operators if op.name not in ("QUANTIZE", "DEQUANTIZE")]
    kinds = {model.tensors[i].dtype for op in computing for i in op.outputs}
    if CUSTOM_OP in model.custom_codes or not computing or kinds & {"int8", "uint8"}:
        return
    yield "model", f"Model not quantized: {_computes(model, computing, kinds)}"


def _computes(model: TFLiteModel, computing: list[Operator], kinds: set[str]) -> str:
    """How a model without 8-bit activations computes."""
    read = (model.tensors[i] for op in computing for i in op.inputs if i >= 0)
    small = any(t.is_constant and t.dtype == "int8" for t in read)
    widened = (
        model.tensors[op.inputs[0]].dtype
        for op in model.operators
        if op.name == "DEQUANTIZE" and op.inputs and model.tensors[op.inputs[0]].is_constant
    )
    kept = sorted({*widened})
    if "int16" in kinds:
        return "its operators have 8-bit weights, but 16-bit activations (16x8)"
    if "float32" in kinds and small:
        return "its operators have 8-bit weights, but float activations (dynamic range)"
    if kept:
        return f"its weights are stored as {', '.join(kept)} and widened to float when it runs"
    return "its operators have no 8-bit tensor"


def _dynamic(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in sorted({*model.inputs, *model.outputs}):
        if min(model.tensors[index].shape, default=0) < 0:
            yield at(model.tensors[index]), "its size is only known at run time"


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


def _too_new(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    """Versions newer than those of TensorFlow 2.5, but for the ones that version 16 took."""
    taken = {at(op) for op in model.operators if op.version <= _TAKEN.get(op.name, 0)}
    yield from ((where, text) for where, text in too_new(model) if where not in taken)


def _custom(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        if op.is_custom and op.name not in (CUSTOM_OP, *CUSTOM):
            yield at(op), "the compiler has no such custom operator, and refuses the file"


def _streamed(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        layer = layer_of(model, op)
        if not layer.fits_tile:
            yield (
                at(op),
                f"64 of its outputs take {size(layer.tile_bytes)}, and a tile of the chip has "
                f"{size(TILE_BYTES)}: its {size(layer.chip_bytes)} are streamed for every "
                "inference, however much of the memory is free",
            )


def _arg_max(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        shape = model.tensors[op.inputs[0]].shape if op.inputs else ()
        if op.name == "ARG_MAX" and len(shape) == 4 and shape[1] * shape[2] >= _SLOW_ARG_MAX:
            yield (
                at(op),
                f"it is over {shape[1]} x {shape[2]} pixels: of DeepLab at 361 and 513 px the "
                "compiler ran for hours, and then gave up",
            )


def _nothing_maps(model: TFLiteModel, reasons: Mapping[int, Reason]) -> Iterator[tuple[str, str]]:
    if CUSTOM_OP in model.custom_codes:
        yield "model", "it has been compiled for the Edge TPU already"
    elif len(reasons) == len(model.operators):
        first = next(iter(reasons.items()), None)
        text = f"{at(model.operators[first[0]])}: {first[1].text}" if first else "it has none"
        yield "model", f"no operator of it can run on the Edge TPU; {text}"


#: Each with what to do; an error means that nothing will run on the Edge TPU. The last rule,
#: "maps", reads what the operators showed.
REQUIREMENTS = (
    Rule("quantized", _quantized, "quantize it to int8, activations too (w8a8-static)"),
    Rule("static-shape", _dynamic, "convert with fixed sizes and batch 1"),
    Rule("batch-1", _batch, "convert with batch 1"),
    Rule(
        "op-version",
        _too_new,
        "convert it again with TensorFlow 2.5 to 2.8, or replace the operator; what edgekit build "
        "writes keeps to old versions",
    ),
    Rule("custom-op", _custom, "replace it by built-in operators, or end the model before it"),
    Rule("fixed-scale", fixed_scale, "give a sigmoid the range 0 to 255/256"),
    Rule("no-overflow", _bounds, "prune the dead channels before it, or give it a larger range"),
    Rule("tile", _streamed, "give it fewer inputs, by a pool before it", WARNING),
    Rule("arg-max", _arg_max, SMALLER, WARNING),
    last_map_rule("it goes back to the host for every photo, and 40 MB did not fit on the chip"),
)
_REPLACE = "replace the operator that is named, or quantize the model to int8"

#: What showed each, by name.
EVIDENCE: dict[str, tuple[Evidence, ...]] = {
    "quantized": (issue(168), issue(313)),
    "static-shape": (
        issue(829),
        documented("Tensor sizes are constant at compile-time (no dynamic sizes)"),
    ),
    "batch-1": (issue(30), issue(121)),
    "op-version": (issue(631), issue(845), issue(879), issue(818)),
    "custom-op": (log("custom_op.txt"),),
    "fixed-scale": (
        public("tensorflow/tensorflow", "lite/kernels/activations.cc of 2.5"),
        issue(453),
    ),
    "no-overflow": (
        issue(453),
        public("tensorflow/tensorflow", "lite/kernels/kernel_util.cc of 2.5"),
    ),
    "tile": (pair("tcn_dilated"), issue(572)),
    "arg-max": (issue(315), issue(72), issue(270)),
    "last-map": (issue(176),),
    "maps": (log("nasassai_model.log"),),
}
