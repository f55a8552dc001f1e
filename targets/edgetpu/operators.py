"""Which operators the Edge TPU compiler 16.0 maps, within which limits, and what showed it.

`LIMITS` and `SIZES` say per operator what leaves it on the CPU. Each row names its evidence: a
compiled file, a log, an issue, or a sentence of the documentation that none of these refutes. What
nothing shows counts as mapped, and `not_seen` says so: for a size between the largest that was seen
mapped and the smallest that was seen left out, and for an operator of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgekit.converters.findings import WARNING, Finding
from edgekit.converters.tflite.checks import at
from edgekit.converters.tflite.detections import POST_PROCESS
from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.targets.edgetpu import limits, sizes
from edgekit.targets.edgetpu.evidence import Evidence, documented, issue, log, pair, public
from edgekit.targets.edgetpu.limits import CHANNELS_LAST, REPLACE, Reason
from edgekit.targets.edgetpu.sizes import Size
from edgekit.targets.edgetpu.status import LIMITATION, MEANINGS, UNSUPPORTED

Find = Callable[[TFLiteModel, Operator], Reason | None]


@dataclass(frozen=True)
class Limit:
    """What leaves an operator on the CPU.

    Attributes:
        find: says what is wrong with an operator; None where nothing is.
        evidence: what showed it; never empty.
    """

    find: Find
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class SizeLimit:
    """A size of which only some values were seen.

    Attributes:
        size: the operator's; None where the limit does not concern it.
        mapped: the largest that was seen mapped.
        mapped_in: where; empty where the file is not public.
        left_out: the smallest that was seen left out; None where none was.
        evidence: where; empty where none was.
        fix: what to do about a larger one.
    """

    size: Callable[[TFLiteModel, Operator], Size | None]
    mapped: float
    mapped_in: tuple[Evidence, ...]
    left_out: float | None = None
    evidence: tuple[Evidence, ...] = ()
    fix: str = MEANINGS[LIMITATION].fix

    def why_not(self, model: TFLiteModel, op: Operator) -> Reason | None:
        """Returns why an operator is left out; None where it is not, or where nothing shows it."""
        found = self.size(model, op)
        if found is None or self.left_out is None or found.number < self.left_out:
            return None
        return Reason(
            LIMITATION, f"{found.text}; {self.left_out:,} were left out", self.fix, self.evidence
        )

    def not_seen(self, model: TFLiteModel, op: Operator) -> str | None:
        """Returns what nothing shows of an operator's size; None where it was seen."""
        found = self.size(model, op)
        if found is None or found.number <= self.mapped or self.why_not(model, op):
            return None
        seen = f"{self.mapped:,} were mapped"
        seen += f" ({self.mapped_in[0]})" if self.mapped_in else ""
        seen += f", {self.left_out:,} left out ({self.evidence[0]})" if self.left_out else ""
        return f"{found.text}; {seen}"


@dataclass(frozen=True)
class Doubt:
    """What speaks against an operator that counts as mapped.

    Attributes:
        find: says it of an operator; None where nothing does.
        evidence: what showed it.
        fix: what to do about it.
    """

    find: Callable[[TFLiteModel, Operator], str | None]
    evidence: tuple[Evidence, ...]
    fix: str


_QUANTIZED = Limit(
    limits.not_8bit,
    (
        log("kapibara_deepid_edgetpu.log"),
        log("nasassai_model.log"),
        documented("Tensor parameters are quantized (8-bit fixed-point numbers)"),
    ),
)
_NO_CLASSES = Limit(limits.class_numbers, (issue(409), pair("deeplabv3_mnv2_dm05_pascal_quant")))
_RANK = Limit(
    limits.rank,
    (
        issue(75),
        issue(30),
        documented("only the 3 innermost dimensions may have a size greater than 1"),
    ),
)
#: What every operator is subject to: to the last behind its own limits, to the others before them.
EVERY = (_NO_CLASSES, _QUANTIZED, _RANK)
_STORED = Limit(
    limits.computed_parameters,
    (documented("Model parameters (such as bias tensors) are constant at compile-time"),),
)
_DILATION = Limit(
    limits.two_dilations, (documented("Must use the same dilation in x and y dimensions"),)
)
_NO_ACTIVATION = Limit(limits.fused_activation, (documented("No fused activation function"),))
_NOT_OVER_BATCH = Limit(limits.over_batch, (documented("Cannot operate on the batch dimension"),))

_SLIM = public("google-coral/test_data", "deeplab_mobilenet_edgetpu_slim_cityscapes_quant")
#: The same network with TILE in its place is mapped up to its last resize (`_SLIM`).
_NOT_OF_ONE_PIXEL = Limit(limits.resized_pixel, (pair("deeplabv3_mnv2_dm05_pascal_quant"), _SLIM))

#: By operator.
LIMITS: dict[str, tuple[Limit, ...]] = {
    "AVERAGE_POOL_2D": (_NO_ACTIVATION,),
    "CONCATENATION": (
        _NO_ACTIVATION,
        Limit(
            limits.concatenated_constant,
            (
                documented(
                    "If any input is a compile-time constant tensor, there must be only 2 inputs, "
                    "and this constant tensor must be all zeros"
                ),
            ),
        ),
    ),
    "CONV_2D": (_STORED, _DILATION),
    "DEPTHWISE_CONV_2D": (_STORED, _DILATION),
    "FULLY_CONNECTED": (
        _STORED,
        Limit(
            limits.shuffled_weights,
            (documented("Only the default format is supported for fully-connected weights"),),
        ),
        Limit(limits.many_rows, (documented("Output tensor is one-dimensional"),)),
    ),
    "MAX_POOL_2D": (_NO_ACTIVATION,),
    "MEAN": (
        Limit(limits.over_batch, (documented("No reduction in batch dimension"),)),
        Limit(
            limits.depth_not_by_4,
            (documented("if a z-reduction is requested, the z-dimension must be multiple of 4"),),
        ),
    ),
    "PACK": (Limit(limits.packed_batch, (documented("No packing in batch dimension"),)),),
    "PAD": (Limit(limits.padded_batch, (documented("No padding in batch dimension"),)),),
    "PRELU": (Limit(limits.wide_alpha, (documented("Alpha must be a 1-dimensional tensor"),)),),
    "REDUCE_MAX": (_NOT_OVER_BATCH,),
    "REDUCE_MIN": (_NOT_OVER_BATCH,),
    "RESIZE_BILINEAR": (_NOT_OF_ONE_PIXEL,),
    "RESIZE_NEAREST_NEIGHBOR": (_NOT_OF_ONE_PIXEL,),
    "SQUEEZE": (
        Limit(
            limits.relayout,
            (
                documented(
                    "Supported only when there are leading 1s in the input dimensions: no relayout"
                ),
            ),
        ),
    ),
    "STRIDED_SLICE": (
        Limit(
            limits.sliced_by_mask,
            (documented("ellipsis-mask == 0, and new-axis-mask == 0"),),
        ),
        Limit(
            limits.strides,
            (issue(828), documented("Supported only when all strides are equal to 1")),
        ),
    ),
    "SUM": (_NOT_OVER_BATCH,),
    "TRANSPOSE": (
        Limit(
            limits.computed_permutation,
            (documented("Model parameters are constant at compile-time"),),
        ),
    ),
}

_RESIZE_FACTOR = SizeLimit(
    sizes.resize_factor, 2, (log("kapibara_Midas-V2-Quantized_edgetpu.log"),)
)
#: Of a bilinear resize; of a nearest one none is known that was left out for its size, though the
#: documentation says of both that it "might not be mapped to avoid loss in precision".
_RESIZED = SizeLimit(
    sizes.resized_positions,
    256 * 256,
    (log("kapibara_Midas-V2-Quantized_edgetpu.log"),),
    512 * 512,
    (issue(31), _SLIM),
    "end the model before it (`edgekit build --output logits-small`), and resize its output",
)
#: Positions (height x width) of a map whose mean was seen mapped: the build divides larger ones.
MAX_MEAN = 64 * 128
#: By operator.
SIZES: dict[str, tuple[SizeLimit, ...]] = {
    "MEAN": (
        SizeLimit(
            sizes.averaged_positions,
            MAX_MEAN,
            (issue(461),),
            256 * 128,
            (issue(461), issue(183)),
            "average in two steps, a pool before it (edgekit build does so with --target edgetpu), "
            "or lower the resolution",
        ),
    ),
    "RESIZE_BILINEAR": (_RESIZE_FACTOR, _RESIZED),
    "RESIZE_NEAREST_NEIGHBOR": (_RESIZE_FACTOR, replace(_RESIZED, left_out=None, evidence=())),
    "SOFTMAX": (
        SizeLimit(
            sizes.softmax_elements,
            128 * 128,
            (public("ricardodeazambuja/libredgetpu", "tracker/templates/bright_128x128.tflite"),),
        ),
    ),
    # Heads of detectors at 320 px, compiled by version 16: 10 x 10 x 144 and 20 x 20 x 144 were
    # mapped, 40 x 40 x 84 and 40 x 40 x 144 were not.
    "TRANSPOSE": (
        SizeLimit(
            sizes.permuted_elements,
            20 * 20 * 144,
            (),
            40 * 40 * 84,
            (log("efficientnet_b0_channels_first_v16.log"), issue(433)),
            CHANNELS_LAST,
        ),
    ),
}

#: By operator, what speaks against it where it counts as mapped.
DOUBTS: dict[str, Doubt] = {
    "RESIZE_BILINEAR": Doubt(
        limits.half_pixel,
        (issue(187), issue(396), public("guichristmann/edge-tpu-tiny-yolo", "issue 10")),
        "resize with align_corners and without half_pixel_centers, as edgekit build does",
    ),
    "TRANSPOSE_CONV": Doubt(
        limits.transposed_convolution,
        (issue(64), issue(509), issue(684), issue(686)),
        "resize by 2 (nearest), and convolve",
    ),
}

#: Operators that were seen mapped, or are in the documentation's table.
_NO_LIMIT = (
    "ADD EXPAND_DIMS L2_NORMALIZATION LOGISTIC LSTM MAXIMUM MINIMUM MUL QUANTIZE RELU RELU6 "
    "RELU_N1_TO_1 RESHAPE RSQRT SLICE SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SUB TANH TILE "
    "TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM"
)
KNOWN = frozenset({*_NO_LIMIT.split(), *LIMITS, *SIZES})

_ON_CPU = public("ricardodeazambuja/libredgetpu", 'docs/ADVANCED_README.md, "NOT supported"')
_LISTED_AS_UNSUPPORTED = "ABS ARG_MIN EXP GATHER GATHER_ND LOG POW SELECT SELECT_V2 TOPK_V2 WHERE"
#: Operators that were seen left out, whatever their size.
UNMAPPED: dict[str, tuple[Evidence, ...]] = {
    **dict.fromkeys(
        _LISTED_AS_UNSUPPORTED.split(),
        (_ON_CPU,),
    ),
    "ARG_MAX": (pair("deeplabv3_mnv2_dm05_pascal_quant"), issue(409)),
    "DEPTH_TO_SPACE": (issue(386),),
    "HARD_SWISH": (issue(272), issue(353)),
    "LEAKY_RELU": (issue(272), issue(597)),
    "REVERSE_V2": (issue(464),),
}
#: Custom operators that the compiler knows, and leaves on the CPU.
CUSTOM: dict[str, tuple[Evidence, ...]] = {
    "PosenetDecoderOp": (pair("posenet_353_481_decoder"),),
    POST_PROCESS: (log("efficientdet_lite0_helmet.log"),),
}


def why_not(model: TFLiteModel, op: Operator) -> Reason | None:
    """Returns why the compiler will not map an operator, taken by itself; None where it will."""
    for limit in (_NO_CLASSES, _QUANTIZED, Limit(_unmapped, _shown(op)), *_limits(op), _RANK):
        reason = limit.find(model, op)
        if reason:
            return replace(reason, evidence=limit.evidence)
    rows = () if op.is_custom else SIZES.get(op.name, ())
    return next(filter(None, (size.why_not(model, op) for size in rows)), None)


def not_seen(model: TFLiteModel, op: Operator) -> str | None:
    """Returns why nothing shows that a mapped operator is mapped; None where something does."""
    if op.is_custom or op.name not in KNOWN:
        return f"no compiled file or log with {op.name} is known"
    doubt = doubt_of(model, op)
    if doubt:
        return doubt.message
    rows = SIZES.get(op.name, ())
    return next(filter(None, (size.not_seen(model, op) for size in rows)), None)


def doubt_of(model: TFLiteModel, op: Operator) -> Finding | None:
    """Returns what speaks against an operator that counts as mapped; None where nothing does."""
    row = None if op.is_custom else DOUBTS.get(op.name)
    text = row.find(model, op) if row else None
    if row is None or text is None:
        return None
    return Finding(WARNING, "doubt", at(op), f"{text} ({row.evidence[0]})", row.fix)


def _limits(op: Operator) -> tuple[Limit, ...]:
    return () if op.is_custom else LIMITS.get(op.name, ())


def _shown(op: Operator) -> tuple[Evidence, ...]:
    """What shows that the operator's kind stays on the CPU."""
    return (CUSTOM if op.is_custom else UNMAPPED).get(op.name, ())


def _unmapped(model: TFLiteModel, op: Operator) -> Reason | None:
    if not _shown(op):
        return None
    fix = REPLACE.get(op.name, MEANINGS[UNSUPPORTED].fix)
    return Reason(UNSUPPORTED, "the Edge TPU has no such operator", fix)
