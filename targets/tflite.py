"""The plain TFLite target: any device with LiteRT or TensorFlow Lite 2.5 or newer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.converters.findings import ERROR
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.checks import INT8_RULES, apply_rules, check_int8, check_mixed
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.converters.tflite.scheme import scheme, scheme_in_words
from edgekit.system.paths import StrPath
from edgekit.targets.base import Examination, Finding, Target
from edgekit.targets.executions import ChipFigures

#: Of an estimate; it is no benchmark.
WARM_RUNS, SECONDS = 50, 3.0
_OF_ANY_SCHEME = (
    "one-subgraph",
    "static-shape",
    "batch-1",
    "no-custom",
    "lost-class",
    "op-version",
)
_QUANTIZE = (
    "quantize weights and activations to int8: TFLITE_BUILTINS_INT8 with a representative dataset "
    "in TensorFlow's converter; edgekit build writes such a file"
)
_FIXES = {
    "w8a16-static": "it runs as it is, with kernels that few delegates have; for int8 activations, "
    "convert with TFLITE_BUILTINS_INT8 in place of "
    "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
    "w8a8-static-uint8": "it runs as it is; newer converters write int8",
}


class TFLiteTarget(Target):
    """Takes the int8 file as it is; nothing is compiled."""

    name = "tflite"
    about = "any device with LiteRT or TensorFlow Lite: phones, Raspberry Pi, hosts"
    scheme = "w8a8-static"
    accepts_mixed = True
    inspected_schemes = ("w8a8-static", "mixed")

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds where the file breaks the 8-bit scheme or needs more than TensorFlow 2.5."""
        model = model or tflite_file.read(path)
        return Examination(Path(path), model, tuple(self._check(model)))

    def estimate(self, path: StrPath) -> ChipFigures:
        """Returns the latency that LiteRT has on this machine, with one thread."""
        from edgekit.runtimes.base import measure
        from edgekit.runtimes.litert import LiteRT
        from edgekit.system.host import cpu_name

        model = LiteRT(path)
        pixels = np.random.default_rng(0).integers(0, 256, (model.side, model.width, 3), np.uint8)
        found = measure(model, pixels, warm=WARM_RUNS, seconds=SECONDS)
        return ChipFigures(
            latency_ms=float(found["median"]),
            latency_by=f"measured here: {model.runtime}, 1 thread, {cpu_name()}",
        )

    def _check(self, model: TFLiteModel) -> list[Finding]:
        found = scheme(model)
        if found == "mixed":
            return check_mixed(model)
        hidden = found == "unknown" and model.custom_codes
        if found in (self.scheme, "unknown") and not hidden:
            return check_int8(model)
        # The rules of int8 would name each of its tensors, and none of the findings would help.
        rules = [rule for rule in INT8_RULES if rule.name in _OF_ANY_SCHEME]
        message = f"it is {found}, not {self.scheme}: {scheme_in_words(found)}"
        fix = _FIXES.get(found, _QUANTIZE)
        if hidden:
            message = f"it is compiled: its weights are within {', '.join(model.custom_codes)}"
            fix = "check the file before compilation"
        other = Finding(ERROR, "scheme", "model", message, fix)
        return [other, *apply_rules(rules, model)]
