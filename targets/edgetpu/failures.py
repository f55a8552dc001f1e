"""Why `edgetpu_compiler` failed, from what it printed: its words, their cause, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import shorten
from typing import Literal

_BISECT = "find the operator with `edgekit compile --bisect FILE`"
_ACTIVATIONS = (
    "use a lower resolution, give `edgekit compile --search-delegate FILE`, or stop earlier with "
    "`edgekit compile --intermediate-tensors NAME FILE`"
)


@dataclass(frozen=True)
class Failure:
    """Why the compiler made nothing of a model.

    Attributes:
        cause: what is known of it; says so where nothing is.
        fix: what to do about it.
    """

    cause: str
    fix: str


@dataclass(frozen=True)
class _Known:
    """A failure that users met.

    Attributes:
        pattern: what the compiler prints.
        cause: why; ``{0}`` is what the pattern's first group found, all findings with commas.
        fix: what to do.
        whose: whose words they are. Those that only the compiler has are a failure wherever they
            are found; those of TensorFlow Lite unless something compiled; those of any program
            where the compiler has begun to print.
    """

    pattern: re.Pattern[str]
    cause: str
    fix: str
    whose: Literal["compiler", "tflite", "any"]


def _compiler(pattern: str, cause: str, fix: str) -> _Known:
    return _Known(re.compile(pattern), cause, fix, "compiler")


def _tflite(pattern: str, cause: str, fix: str) -> _Known:
    return _Known(re.compile(pattern), cause, fix, "tflite")


def _any(pattern: str, cause: str, fix: str) -> _Known:
    return _Known(re.compile(pattern), cause, fix, "any")


# The first that is found counts: from a cause to what only follows from it.
_FAILURES = (
    _compiler(
        r"edgetpu_compiler: (?:command )?not found",
        "the compiler is not installed",
        "install it, or give `edgekit compile --compiler PROGRAM FILE`",
    ),
    _compiler(
        r"edgetpu_compiler\S*: (?:cannot execute binary file|.*Exec format error)",
        "the compiler is a program for x86-64 Linux, and this machine is another",
        "compile elsewhere with `edgekit compile --compile-host ssh://HOST FILE`",
    ),
    _compiler(
        r"Op builtin_code out of range: (\d+)",
        "the model is newer than the compiler, which ends before operator code {0} of TensorFlow "
        "Lite",
        "`edgekit check FILE` names the operators that it does not know; convert without them",
    ),
    _tflite(
        r"Encountered unresolved custom op: (\S+?)\.?(?:\s|$)",
        "the custom operator {0} is not known to the compiler",
        "compute it on the host behind the model, or build it of TensorFlow Lite's own operators",
    ),
    _tflite(
        r"Regular TensorFlow ops are not supported by this interpreter",
        "the model holds operators of TensorFlow (Flex) and not of TensorFlow Lite alone",
        "convert with TFLITE_BUILTINS_INT8 alone",
    ),
    _tflite(
        r"Didn't find op for builtin opcode(?: '(\w+)')?",
        "the operator {0} is newer than the compiler",
        "keep to the operator versions of TensorFlow 2.5",
    ),
    _tflite(
        r"dynamic-sized tensors",
        "a tensor's size is only known at run time",
        "convert with fixed sizes and batch 1",
    ),
    _tflite(
        r"input_product_scale - bias_scale",
        "the scale of a bias is not the product of the scales of its input and weights",
        "quantize the model again; the two may differ by a millionth",
    ),
    _tflite(
        r"no_integer_overflow_from_quantization",
        "a bias overflows, because a channel's weights are almost zero",
        "give that channel a larger weight scale, or prune it",
    ),
    _compiler(
        r"large activation tensors",
        "the activations do not fit the Edge TPU's memory",
        _ACTIVATIONS,
    ),
    _compiler(
        r"Compilation timeout|[Cc]ompilation (?:child process )?(?:timed out|exceeded)",
        "the compiler's own time limit, which large activations use up",
        f"allow it more time with `edgekit compile --timeout SECONDS FILE`, or {_ACTIVATIONS}",
    ),
    _tflite(
        r"requires runtime version \((\d+)\)",
        "the compiled file needs runtime {0} of the Edge TPU, and an older one is installed",
        "update the runtime, or compile for the one that is there with "
        "`edgekit compile --min-runtime-version N FILE`",
    ),
    _compiler(
        r"Error opening file for writing: (.*\S)",
        "the compiler cannot write {0}",
        "name a folder that it can write to, as in `edgekit compile --out FOLDER FILE`",
    ),
    _tflite(
        r"Node number (\d+ \([^)]*\)) failed to prepare",
        "the TensorFlow Lite inside the compiler cannot prepare operator {0}",
        "see what `edgekit inspect FILE` says of it",
    ),
    _any(
        r"terminating with uncaught exception of type (.*\S)",
        "the compiler crashed ({0})",
        _BISECT,
    ),
    _any(
        r"Segmentation fault",
        "the compiler crashed (segmentation fault)",
        _BISECT,
    ),
    _compiler(
        r"Model failed in Tflite interpreter",
        "the TensorFlow Lite inside the compiler cannot run the model",
        "see what `edgekit inspect FILE` says of it",
    ),
    _compiler(
        r"Model not quantized",
        "the model is not fully quantized",
        "build it with scheme w8a8-static",
    ),
    _compiler(
        r"Model could not be parsed",
        "the compiler cannot read the file: it is damaged, or is no .tflite",
        "see what `edgekit inspect FILE` says of it",
    ),
    _compiler(
        r"Internal compiler error",
        "an internal error of the compiler, known from reductions over very large maps",
        f"try once more, as some pass then; use a lower resolution, or {_BISECT}",
    ),
    # In front of every refusal; alone, in version 2 only.
    _compiler(
        r"Invalid model: ",
        "the compiler refuses the model without a reason; older versions do so where it is not "
        "fully quantized",
        "see what `edgekit check FILE` says of it",
    ),
)
_NODE = re.compile(r"Node number (\d+ \(([^)]*)\)) failed to prepare")
# After a failure that was survived: it is printed in every attempt of a search that succeeds.
_NOISE = re.compile(r"Restored original execution plan")
_COMPLAINT = re.compile(r"\b(?:ERROR|FATAL|F\d{4}): |\bwas not true\b")

SILENT = Failure(
    "nothing follows the compiler's version: older compilers die like that, above all when "
    "they make segments, or the text is cut off",
    _BISECT,
)
CUT_OFF = Failure(
    "the text ends before the compiler says how it went",
    "give all that the compiler printed",
)


def known_failure(text: str, whoever: bool = True) -> Failure | None:
    """Returns cause and remedy of a failure that the compiler is known for, else None.

    Args:
        text: some of what was printed.
        whoever: false where another program may have printed it.
    """
    for known in _FAILURES:
        found = known.pattern.findall(text) if whoever or known.whose != "any" else []
        if found:
            names = ", ".join(dict.fromkeys(name or "?" for name in found))
            cause = known.cause.format(shorten(names, 200))
            return Failure(
                cause + (_place(text, cause) if known.whose == "tflite" else ""), known.fix
            )
    return None


def _place(text: str, cause: str) -> str:
    """Where TensorFlow Lite failed, unless the cause names that operator."""
    match = _NODE.search(text)
    return f", at operator {match[1]}" if match and match[2] not in cause else ""


def explain_failure(lines: list[str]) -> Failure:
    """Returns the cause of a failure from its lines; says so where they have none."""
    text = "\n".join(lines)
    known = known_failure(text)
    if known:
        return known
    said = [line for line in lines if _COMPLAINT.search(line) and not _NOISE.search(line)]
    if said:
        return Failure(f"the compiler says: {shorten('; '.join(said), 400)}", _BISECT)
    return Failure("the compiler gives no reason", _BISECT)


def is_own_complaint(line: str) -> bool:
    """True when the line reports a failure in words that only the compiler has."""
    return any(k.whose == "compiler" and k.pattern.search(line) for k in _FAILURES)


def is_complaint(line: str) -> bool:
    """True when the line may tell why the compiler failed."""
    return bool(_COMPLAINT.search(line)) or any(k.pattern.search(line) for k in _FAILURES)


def is_silent(text: str) -> bool:
    """True when the compiler printed nothing but its version: older ones die like that."""
    lines = [line for line in text.splitlines() if line.strip()]
    return all(line.startswith("Edge TPU Compiler version") for line in lines)
