"""What compilers of NPUs do not take of a network that ends with numbers of classes."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.converters.findings import ERROR, Finding
from edgekit.converters.onnx.file import OnnxModel

#: What hands numbers of classes on as they are.
_CARRIES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")


def resized_classes(model: OnnxModel) -> Iterator[Finding]:
    """Yields a resize of classes, which has no scale.

    Both makers' compilers that take ONNX here were given a small network that ends so (2026): one
    missed quantization parameters at it, the other had no kernel for it.
    """
    classes: set[str] = set()
    for node in model.nodes:
        if node.kind == "ArgMax" or (node.kind in _CARRIES and classes & {*node.inputs[:1]}):
            classes |= set(node.outputs)
        elif node.kind == "Resize" and classes & {*node.inputs[:1]}:
            yield Finding(
                ERROR,
                "resized-classes",
                f"Resize '{node.name}'",
                "it enlarges numbers of classes, which have no scale: the compiler refuses them",
                "`edgekit build --output classes`, or with logits",
            )
