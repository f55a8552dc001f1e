"""The classifier in a file of weights: ours where it is the family's single layer, else another's.

A network whose head was rebuilt for a task of its own still has a backbone that can be used. What
its head holds is named, and left.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.converters.weights.detector_names import CLASSES
from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import Plan, named
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import ModelSpec

#: No classifier of the family is larger (ImageNet-21k has 21,843 classes).
MAX_CLASSES = 100_000
#: A tensor of no more numbers is a constant per channel of the input, and no layer of a head.
CONSTANT = 3
#: Tensors that are named.
SHOWN = 12


@dataclass(frozen=True)
class Head:
    """What a file has behind the backbone.

    Attributes:
        is_ours: whether it is the family's classifier and nothing else.
        classes: how many it tells apart; None where there is none, or nothing says.
        last: of another's head, the tensor that says so.
        notes: for the user, on what was left.
    """

    is_ours: bool
    classes: int | None
    last: str = ""
    notes: tuple[str, ...] = ()

    def why_not(self, wanted: int) -> str:
        """Why its classifier is not used for so many classes."""
        if self.is_ours:
            return f"has {self.classes} classes, not {wanted}"
        return "is another" if self.notes else "is missing"


def find_head(file: WeightFile, plan: Plan) -> Head:
    """Looks at what a file holds beside the backbone.

    Raises:
        UsageError: it has half of a classifier, or one of no usable size.
    """
    kernel, bias = (plan.names[part] for part in last_weights(plan.spec))
    backbone = set(plan.names.values()) - {kernel, bias}
    others = [name for name in file.shapes if name not in backbone and name not in plan.ignored]
    surplus = [name for name in others if name not in (kernel, bias)]
    notes = (
        (f"not used, as the network has no place for it: {named(surplus, SHOWN)}",)
        if surplus
        else ()
    )
    if any(_size(file, name) > CONSTANT for name in surplus):
        last = _last(file, others)
        found = file.shapes[last][0] if last else None
        notes = (f"not used, as the head is not the family's: {named(others, SHOWN)}",)
        return Head(False, found, last or "", notes)
    if kernel not in file.shapes and bias not in file.shapes:
        return Head(False, None, "", notes)
    shape = file.shapes.get(bias, ())
    anchors = plan.spec.anchors
    places = anchors.per_place if anchors else 1
    if len(shape) != 1 or not 0 < shape[0] <= places * MAX_CLASSES or shape[0] % places:
        raise UsageError(
            f"the classifier in {file.path} cannot be used",
            cause=f"'{bias}' has shape {list(shape)}" if shape else f"'{bias}' is missing",
        )
    return Head(True, shape[0] // places, "", notes)


def last_weights(spec: ModelSpec) -> tuple[str, str]:
    """The kernel and bias of the layer that gives the logits."""
    layer = CLASSES if spec.anchors else "logits"
    return f"{layer}/kernel", f"{layer}/bias"


def _size(file: WeightFile, name: str) -> int:
    size = 1
    for side in file.shapes[name]:
        size *= side
    return size


def _last(file: WeightFile, names: list[str]) -> str | None:
    """The bias of the dense layer whose outputs no other one takes; None where it is not one."""
    layers: dict[str, tuple[int, int]] = {}  # of a bias: inputs and outputs
    for name in names:
        kernel = file.shapes[name]
        if len(kernel) != 2:
            continue
        layer = name[: -len("kernel")] if name.endswith("kernel") else name[: -len("weight")]
        bias = file.shapes.get(f"{layer}bias", ())
        if len(bias) == 1 and bias[0] in kernel and 0 < bias[0] <= MAX_CLASSES:
            inputs = kernel[1] if kernel[0] == bias[0] else kernel[0]
            layers[f"{layer}bias"] = (inputs, bias[0])
    taken = {inputs for inputs, _ in layers.values()}
    ends = [name for name, (_, outputs) in layers.items() if outputs not in taken]
    return ends[0] if len(ends) == 1 else None
