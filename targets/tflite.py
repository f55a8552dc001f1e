"""The plain TFLite target: any device with LiteRT or TensorFlow Lite 2.5 or newer."""

from __future__ import annotations

from pathlib import Path

from edgekit.converters.findings import ERROR
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.checks import INT8_RULES, apply_rules, check_int8, check_mixed
from edgekit.converters.tflite.scheme import scheme, scheme_in_words
from edgekit.system.paths import StrPath
from edgekit.targets.base import Finding, Target

_OF_ANY_SCHEME = ("one-subgraph", "static-shape", "batch-1", "no-custom", "op-version")
_QUANTIZE = (
    "quantize weights and activations to int8: TFLITE_BUILTINS_INT8 with a representative dataset "
    "in TensorFlow's converter; edgekit build writes such a file"
)
_FIXES = {
    "w8a16-static": "it runs as it is, with kernels that few delegates have; for int8 activations, "
    "convert with TFLITE_BUILTINS_INT8 in place of "
    "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
    "w8a8-static-uint8": "it runs as it is; newer converters write int8",
    "edgetpu-compiled": "check the file before compilation",
}


class TFLiteTarget(Target):
    """Takes the int8 file as it is; nothing is compiled."""

    name = "tflite"
    scheme = "w8a8-static"
    accepts_mixed = True

    def check(self, path: StrPath) -> list[Finding]:
        """Returns where the file breaks the 8-bit scheme or needs more than TensorFlow 2.5."""
        path = Path(path)
        model = tflite_file.read(path)
        found = scheme(model)
        if found == "mixed":
            return check_mixed(model)
        if found in (self.scheme, "unknown"):
            return check_int8(model)
        # The rules of int8 would name each of its tensors, and none of the findings would help.
        rules = [rule for rule in INT8_RULES if rule.name in _OF_ANY_SCHEME]
        message = f"it is {found}, not {self.scheme}: {scheme_in_words(found)}"
        other = Finding(ERROR, "scheme", "model", message, _FIXES.get(found, _QUANTIZE))
        return [other, *apply_rules(rules, model)]
