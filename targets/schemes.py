"""The quantization of a model file in a word, of a compiled one too."""

from __future__ import annotations

from typing import Any

from edgekit.converters.tflite import scheme as tflite_scheme
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.targets import registry

_COMPILED = "-compiled"


def scheme_of(model: Any) -> str:
    """Names the quantization of a file as it was read; of a compiled one, which hides it, whose."""
    if not isinstance(model, TFLiteModel):
        return str(getattr(model, "scheme", "unknown"))
    target = registry.compiled_for(model)
    return f"{target.name}{_COMPILED}" if target else tflite_scheme.scheme(model)


def describe_scheme(model: Any) -> str:
    """Returns the name, and behind it in brackets what it says where that is more."""
    name = scheme_of(model)
    words = scheme_in_words(name)  # other formats keep the same weights in other types
    return f"{name} ({words})" if isinstance(model, TFLiteModel) and words != name else name


def scheme_in_words(name: str) -> str:
    """What such a name says of a .tflite file, for people; the name itself where it is another."""
    target = name.removesuffix(_COMPILED)
    if target != name and target in registry.names():
        return f"compiled for {registry.find(target).title}"
    return tflite_scheme.scheme_in_words(name)
