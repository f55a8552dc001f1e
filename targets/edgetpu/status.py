"""What the Edge TPU compiler says of an operator, in its own words.

The words are those of compiler 16.0.384591198's logs; they are compared with its output, so they
must stay as they are. `MEANINGS` puts each into plain language.
"""

from __future__ import annotations

from dataclasses import dataclass

COMPILER = "16.0.384591198"  # the last release

MAPPED = "Mapped to Edge TPU"
BEHIND = "More than one subgraph is not supported"
LIMITATION = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
UNSUPPORTED = "Operation not supported"
VERSION = "Operation version not supported"
DATA_TYPE = "Operation is working on an unsupported data type"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"
IMPRECISE = "Image-interpolation layer won't run precisely enough on Edge TPU"  # of 2019 and 2020
FAILED = "Compilation failed!"


@dataclass(frozen=True)
class Meaning:
    """A status in plain language.

    Attributes:
        text: what it means.
        fix: what to do about it; empty where nothing is to be done.
    """

    text: str
    fix: str


MEANINGS: dict[str, Meaning] = {
    MAPPED: Meaning("it runs on the Edge TPU", ""),
    BEHIND: Meaning(
        "nothing is wrong with it, but an operator before it stays on the CPU, and only the first "
        "stretch is mapped",
        "mend the first operator that is left out",
    ),
    LIMITATION: Meaning(
        "its kind is supported, but not in this size, shape or quantization",
        "make its tensors smaller, or replace it",
    ),
    UNSUPPORTED: Meaning("the Edge TPU has no such operator", "replace it by supported ones"),
    VERSION: Meaning(
        "it is newer than the compiler knows", "keep to the operator versions of TensorFlow 2.5"
    ),
    DATA_TYPE: Meaning(
        "a tensor of it is not an 8-bit integer",
        "quantize the whole model to int8, input and output included",
    ),
    RANK: Meaning("more than three sizes of a tensor exceed 1", "convert with batch 1"),
    NOT_CONSTANT: Meaning(
        "its weights or parameters are computed by the model", "store them in the file"
    ),
    IMPRECISE: Meaning(
        "a resize that versions before April 2020 computed up to 20 pixels off",
        "compile it with version 16",
    ),
    FAILED: Meaning("the compiler refuses the whole file", "mend what the file breaks"),
}
