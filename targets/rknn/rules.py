"""What Rockchip's compiler misreads without a word, seen in the file alone."""

from __future__ import annotations

from edgekit.converters.findings import ERROR, Finding
from edgekit.converters.onnx.file import OnnxModel
from edgekit.targets.npus.classes import resized_classes


def findings(model: OnnxModel) -> list[Finding]:
    """Returns why a file cannot be given to Rockchip's compiler."""
    (image, *_) = model.inputs or (None,)
    if image is None:
        return []
    shape = image.shape or ()
    if image.dtype != "float32" or shape[1:2] != (3,):
        message = f"it is {image.dtype} {list(shape)}; the compiler misreads bytes and NHWC"
        fix = "take the file whose name ends in -nchw.onnx, or build with `--io float32`"
        return [Finding(ERROR, "float-nchw", f"input '{image.name}'", message, fix)]
    if not all(isinstance(size, int) for size in shape):
        message = f"its shape {list(shape)} is not fixed"
        fix = "write it without `--dynamic-batch`, for one photo"
        return [Finding(ERROR, "fixed-size", f"input '{image.name}'", message, fix)]
    return list(resized_classes(model))
