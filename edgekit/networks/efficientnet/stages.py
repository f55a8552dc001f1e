"""The stages of blocks of every variant, as strings, and how such a string is read.

Sources: as of `edgekit.networks.efficientnet.spec`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgekit.errors import UsageError

Stages: TypeAlias = tuple[str, ...]

V1_STAGES = (
    "r1_k3_s1_e1_i32_o16_se0.25",
    "r2_k3_s2_e6_i16_o24_se0.25",
    "r2_k5_s2_e6_i24_o40_se0.25",
    "r3_k3_s2_e6_i40_o80_se0.25",
    "r3_k5_s1_e6_i80_o112_se0.25",
    "r4_k5_s2_e6_i112_o192_se0.25",
    "r1_k3_s1_e6_i192_o320_se0.25",
)

EDGETPU_STAGES = (
    "r1_k3_s1_e4_i24_o24_c1_noskip",
    "r2_k3_s2_e8_i24_o32_c1",
    "r4_k3_s2_e8_i32_o48_c1",
    "r5_k5_s2_e8_i48_o96",
    "r4_k5_s1_e8_i96_o144",
    "r2_k5_s2_e8_i144_o192",
)

V2_BASE_STAGES = (
    "r1_k3_s1_e1_i32_o16_c1",
    "r2_k3_s2_e4_i16_o32_c1",
    "r2_k3_s2_e4_i32_o48_c1",
    "r3_k3_s2_e4_i48_o96_se0.25",
    "r5_k3_s1_e6_i96_o112_se0.25",
    "r8_k3_s2_e6_i112_o192_se0.25",
)
V2_S_STAGES = (
    "r2_k3_s1_e1_i24_o24_c1",
    "r4_k3_s2_e4_i24_o48_c1",
    "r4_k3_s2_e4_i48_o64_c1",
    "r6_k3_s2_e4_i64_o128_se0.25",
    "r9_k3_s1_e6_i128_o160_se0.25",
    "r15_k3_s2_e6_i160_o256_se0.25",
)
V2_M_STAGES = (
    "r3_k3_s1_e1_i24_o24_c1",
    "r5_k3_s2_e4_i24_o48_c1",
    "r5_k3_s2_e4_i48_o80_c1",
    "r7_k3_s2_e4_i80_o160_se0.25",
    "r14_k3_s1_e6_i160_o176_se0.25",
    "r18_k3_s2_e6_i176_o304_se0.25",
    "r5_k3_s1_e6_i304_o512_se0.25",
)
V2_L_STAGES = (
    "r4_k3_s1_e1_i32_o32_c1",
    "r7_k3_s2_e4_i32_o64_c1",
    "r7_k3_s2_e4_i64_o96_c1",
    "r10_k3_s2_e4_i96_o192_se0.25",
    "r19_k3_s1_e6_i192_o224_se0.25",
    "r25_k3_s2_e6_i224_o384_se0.25",
    "r7_k3_s1_e6_i384_o640_se0.25",
)
V2_XL_STAGES = (
    "r4_k3_s1_e1_i32_o32_c1",
    "r8_k3_s2_e4_i32_o64_c1",
    "r8_k3_s2_e4_i64_o96_c1",
    "r16_k3_s2_e4_i96_o192_se0.25",
    "r24_k3_s1_e6_i192_o256_se0.25",
    "r32_k3_s2_e6_i256_o512_se0.25",
    "r8_k3_s1_e6_i512_o640_se0.25",
)


#: Kinds of blocks that a token names; without one it is an inverted residual block, or with ``c1``
#: a fused one.
KINDS = ("separable", "basic", "bottleneck")
#: Activations that a token names, spelled as in timm's block strings.
ACTIVATIONS = {"nre": "relu", "nr6": "relu6", "nsw": "swish", "nhs": "hard-swish"}


@dataclass(frozen=True)
class StageSpec:
    """One stage: the same block repeated; only the first block has the stride.

    Attributes:
        repeats: number of blocks before depth scaling.
        kernel: side in pixels of the depthwise kernel, or of the fused block's.
        stride: stride of the first block.
        expand: width of the expanded tensor over ``in_filters``, rounded to a multiple of 8; of
            ``basic`` and ``bottleneck`` blocks, of the inner tensors over ``out_filters``.
        in_filters: channels in, before width scaling. Expansion and squeeze-excite count from
            it even where the tensor that comes in is wider (EdgeTPU's first block).
        out_filters: channels out, before width scaling.
        se_ratio: squeeze-excite width over what `ModelSpec.squeeze_rule` says; 0 for none.
        fused: whether one full convolution does the work of expansion and depthwise
            convolution (Fused-MBConv; ``c1``).
        skip: whether blocks that keep their shape have a shortcut (``noskip``: none).
        kind: one of `KINDS`; empty for the family's own blocks. ``separable`` (MobileNetV1): a
            depthwise convolution and a pointwise one, each with its activation; ``basic`` and
            ``bottleneck`` (ResNet): two 3x3 convolutions, or one between two 1x1, with the
            activation behind the sum, and a projected shortcut where the shape changes.
        activation: of its blocks, by a token of `ACTIVATIONS`; empty for the variant's.
        continues: whether its blocks belong to the stage before (``cont``): they are numbered with
            that one's, as published stages have blocks of several widths.
    """

    repeats: int
    kernel: int
    stride: int
    expand: float
    in_filters: int
    out_filters: int
    se_ratio: float = 0.0
    fused: bool = False
    skip: bool = True
    kind: str = ""
    activation: str = ""
    continues: bool = False

    _NUMBERS = (
        ("r", "repeats"),
        ("k", "kernel"),
        ("s", "stride"),
        ("e", "expand"),
        ("i", "in_filters"),
        ("o", "out_filters"),
        ("se", "se_ratio"),
    )
    _REAL = ("expand", "se_ratio")
    _FLAGS = (
        ("c1", "fused", True),
        *((kind, "kind", kind) for kind in KINDS),
        ("noskip", "skip", False),
        *((token, "activation", kind) for token, kind in ACTIVATIONS.items()),
        ("cont", "continues", True),
    )

    def __str__(self) -> str:
        """The string that `parse` reads as the same stage."""
        tokens = [f"{token}{getattr(self, name):g}" for token, name in self._NUMBERS]
        if not self.se_ratio:
            tokens.pop()
        flags = [token for token, name, value in self._FLAGS if getattr(self, name) == value]
        return "_".join([*tokens, *flags])

    @classmethod
    def parse(cls, text: str) -> StageSpec:
        """Reads a block string such as ``r2_k3_s2_e6_i16_o24_se0.25`` or ``…_c1_noskip``.

        Raises:
            UsageError: a token is unknown, repeated or missing, or two contradict each other.
        """
        numbers = dict(cls._NUMBERS)
        flags: dict[str, tuple[str, Any]] = {
            token: (name, value) for token, name, value in cls._FLAGS
        }
        values: dict[str, Any] = {}
        for token in text.split("_"):
            match = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?|\.\d+)", token)
            if token in flags:
                name, value = flags[token]
            elif match and match[1] in numbers:
                name, value = (
                    numbers[match[1]],
                    cls._number(numbers[match[1]], token, match[2], text),
                )
            else:
                raise _unreadable(text, f"the token '{token}' is unknown")
            if name in values:
                raise _unreadable(text, f"the token '{token}' repeats {name}")
            values[name] = value
        missing = [name for name in numbers.values() if name not in values and name != "se_ratio"]
        if missing:
            raise UsageError(f"the block string '{text}' lacks {', '.join(missing)}")
        if "kind" in values and ("fused" in values or values.get("se_ratio")):
            raise _unreadable(text, f"a {values['kind']} block has neither c1 nor se")
        return cls(**values)

    @classmethod
    def _number(cls, name: str, token: str, digits: str, text: str) -> float:
        """The value of a token; an `int` where it is whole, as the other fields are."""
        value = float(digits)
        if name == "expand" and value <= 0:
            raise _unreadable(text, f"'{token}': expand must be above 0")
        if name not in cls._REAL and (not value.is_integer() or value < 1):
            raise _unreadable(text, f"'{token}': {name} must be a whole number from 1 up")
        return int(value) if value.is_integer() and name != "se_ratio" else value


def _unreadable(text: str, cause: str) -> UsageError:
    return UsageError(
        f"cannot read the block string '{text}'",
        cause=cause,
        hint="a string such as r2_k3_s2_e6_i16_o24_se0.25",
    )
