"""The quantization of a .tflite file in a word, of a compiled one too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.converters.tflite import scheme as tflite_scheme
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.system.paths import StrPath
from edgekit.targets import registry
from edgekit.targets.base import Examination, Finding
from edgekit.targets.prediction import Prediction

_COMPILED = "-compiled"


def scheme_of(model: TFLiteModel) -> str:
    """Names the quantization; of a compiled file, which does not show it, the target."""
    target = registry.compiled_for(model)
    return f"{target.name}{_COMPILED}" if target else tflite_scheme.scheme(model)


def scheme_in_words(name: str) -> str:
    """What such a name says, for people; the name itself where it is another."""
    target = name.removesuffix(_COMPILED)
    if target != name and target in registry.names():
        return f"compiled for {registry.find(target).title}"
    return tflite_scheme.scheme_in_words(name)


def examination(
    path: StrPath,
    model: TFLiteModel,
    findings: Sequence[Finding],
    prediction: Prediction | None = None,
) -> Examination:
    """Makes the record of a .tflite file that a target has examined."""
    name = scheme_of(model)
    words = scheme_in_words(name)
    said = "" if words == name else words
    return Examination(Path(path), model, tuple(findings), prediction, name, said)
