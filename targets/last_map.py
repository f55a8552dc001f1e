"""How large the map is that a file ends with: logits at each pixel, which its reader must take."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.converters.findings import WARNING
from edgekit.converters.tflite.checks import Rule, at
from edgekit.converters.tflite.cost import activation_bytes
from edgekit.converters.tflite.file import Tensor, TFLiteModel
from edgekit.system.text import size

#: A map of which a user must hear: 512 x 512 pixels of 8-bit logits of 4 classes. USB 2 takes
#: 20 ms for it, as long as the chip for the whole of a small network.
LARGE_BYTES = 1 << 20
SMALLER = (
    "end with fewer numbers: `edgekit build --output classes-fused` gives a class for each pixel, "
    "`edgekit build --output logits-small` the logits before the last resize"
)


def last_map(model: TFLiteModel) -> Tensor | None:
    """The first output where it is a map with several numbers at each pixel; else None."""
    made = model.tensors[model.outputs[0]] if model.outputs else None
    if made is None or len(made.shape) != 4 or min(made.shape) < 1:
        return None
    _, height, width, channels = made.shape
    return made if height * width > 1 and channels > 1 else None


def last_map_rule(what_then: str, large: int = LARGE_BYTES) -> Rule:
    """The rule that warns of a large last map.

    Args:
        what_then: what that means for the target, after "the logits map has N: ".
        large: of so many bytes.
    """

    def find(model: TFLiteModel) -> Iterator[tuple[str, str]]:
        made = last_map(model)
        if made is None or activation_bytes(made) < large:
            return
        height, width, classes = made.shape[1:]
        yield (
            at(made),
            f"the logits map has {size(activation_bytes(made))} ({height} x {width} x {classes}, "
            f"{made.dtype}): {what_then}",
        )

    return Rule("last-map", find, SMALLER, WARNING)
