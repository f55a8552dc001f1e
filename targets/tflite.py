"""The plain TFLite target: any device with LiteRT or TensorFlow Lite 2.5 or newer."""

from __future__ import annotations

from pathlib import Path

from edgekit.converters import tflite_file
from edgekit.converters.tflite_checks import check_int8, check_mixed
from edgekit.converters.tflite_scheme import scheme
from edgekit.targets.base import Finding, Target


class TFLiteTarget(Target):
    """Takes the int8 file as it is; nothing is compiled."""

    name = "tflite"
    scheme = "w8a8-static"
    accepts_mixed = True

    def check(self, path: Path) -> list[Finding]:
        """Returns where the file breaks the 8-bit scheme or needs more than TensorFlow 2.5."""
        model = tflite_file.read(path)
        return check_mixed(model) if scheme(model) == "mixed" else check_int8(model)
