"""What a file must be for TFLite Micro."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from edgekit.converters.findings import ERROR, Finding
from edgekit.converters.tflite.checks import INT8_RULES, Rule, apply_rules
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.converters.tflite.scheme import scheme, scheme_in_words
from edgekit.targets.tflm.operators import registration

SCHEME = "w8a8-static"
#: Of any file; the others would name each tensor of a float one.
_OF_ANY_SCHEME = ("one-subgraph", "static-shape")
#: Of `INT8_RULES` those that its kernels hold; they ask for no version of an operator, and have
#: padding, transposition and activations as operators of their own.
_OF_INT8 = (
    *_OF_ANY_SCHEME,
    *("no-float", "float-ends", "8-bit", "activation-scale", "fixed-scale", "same-scale"),
    *("weights", "bias"),
)


def _unregistered(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    missing = [op for op in model.operators if registration(op.name, op.is_custom) is None]
    counts = Counter((op.name, op.is_custom) for op in missing)
    for (name, is_custom), count in counts.items():
        first = next(op for op in missing if (op.name, op.is_custom) == (name, is_custom))
        more = f", here and {count - 1} times more" if count > 1 else ""
        kind = "custom operator" if is_custom else "operator"
        yield f"{first.index} {name}", f"no resolver of TFLite Micro has the {kind}{more}"


_RESOLVER = Rule(
    "resolver",
    _unregistered,
    "convert without it, or give the file before compilation; it has all operators that "
    "`edgekit build` writes but TILE, of deeplab-…: take unet-…",
)


def check(model: TFLiteModel) -> list[Finding]:
    """Returns what in a file TFLite Micro does not take."""
    found = scheme(model)
    if found == "unknown" and model.custom_codes:
        return [_compiled(model.custom_codes)]
    fits = found in (SCHEME, "unknown")
    names = _OF_INT8 if fits else _OF_ANY_SCHEME
    rules = [_RESOLVER, *(rule for rule in INT8_RULES if rule.name in names)]
    findings = apply_rules(rules, model)
    if fits:
        return findings
    message = f"it is {found}, not {SCHEME}: {scheme_in_words(found)}"
    fix = "quantize weights and activations to int8; `edgekit build` writes such a file"
    return [Finding(ERROR, "scheme", "model", message, fix), *findings]


def _compiled(codes: Collection[str]) -> Finding:
    """TFLite Micro may run such a file on its chip, but nothing here can measure or check it."""
    return Finding(
        ERROR,
        "compiled",
        "model",
        f"it is compiled: its weights are within {', '.join(codes)}, whose kernel is only in the "
        "library of its chip",
        "give the file before compilation",
    )
