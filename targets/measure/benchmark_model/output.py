"""Reads what TensorFlow Lite's `benchmark_model` prints, and says why it failed.

The lines are those of `tensorflow/lite/tools/benchmark/benchmark_model.cc` (timings and memory),
`benchmark_tflite_model.cc` (model and delegates), `tsl/util/stats_calculator.h` (the `count=` line)
and `tensorflow/lite/tools/delegates/*_delegate_provider.cc`. They are found anywhere in a line:
older builds print them bare, newer ones behind `INFO: `, and logcat puts a time and a tag before
them.
"""

from __future__ import annotations

import re
import signal
from typing import Any

from edgekit.errors import EdgekitError, MissingToolError
from edgekit.targets.devices.hosts import Ran

DELEGATES = {"none": "", "xnnpack": "XNNPACK", "gpu": "GPU"}  # and how the tool calls them
MEBIBYTE = 2**20  # the tool's MB

_NUMBER = r"([-+.\deE]+|-?nan)"
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}\s*$",
    re.M,
)
_COUNT = re.compile(r"\bcount=.*")
_FIELD = re.compile(r"\b(\w+)=([-+.\deE]+)")
_PEAK = re.compile(
    rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}\s*$", re.M
)
_ERROR = re.compile(  # with care: a file's name may hold such words, too
    r"\b(ERROR|FATAL): |^(Failed|Could not|Cannot|CANNOT|Didn't|Encountered) |failed to "
)
_LOADING = re.compile(
    r"Failed to (load model|initialize|allocate tensors)|[Cc]ould not (open|mmap)|"
    r"unresolved custom op|Didn't find op|not a valid flatbuffer|failed to prepare"
)
_UNSTARTED = re.compile(  # what shells and dynamic linkers say; Android's says CANNOT LINK
    r"CANNOT LINK EXECUTABLE|error while loading shared libraries|version `\S+' not found|"
    r"Exec format error|not executable|Error relocating"
)
_PREFIX = re.compile(r"^(.*?\b[VDIWEF] \S+\s*: )?(ERROR|FATAL|WARN|WARNING|INFO): ")


def parse_latency(text: str, delegate: str) -> dict[str, Any]:
    """Reads the output of a run that ended well.

    Args:
        text: what the tool printed, on stdout and stderr.
        delegate: which it was asked for, of `DELEGATES`.

    Returns:
        Milliseconds ``load`` (file, delegate and memory), ``first`` and, of ``n`` runs, ``mean``,
        ``median``, ``p5`` and ``p95`` (None where the build prints no percentiles);
        ``memory_bytes``, the largest resident set, or None; ``delegate_applied``, see `applied`.

    Raises:
        EdgekitError: the output breaks off before the timings.
    """
    timings, counts = _TIMINGS.search(text), _COUNT.findall(text)
    fields = dict(_FIELD.findall(counts[-1])) if counts else {}
    if not timings or not int(float(fields.get("count", 0))):
        raise EdgekitError(
            "benchmark_model printed no timings", cause=_last_line(text) or "it printed nothing"
        )
    load, first, _, mean = (float(number) / 1e3 for number in timings.groups())
    same = fields.get("curr") if "min" not in fields else None  # "count=5 curr=70(all same)"

    def percentile(name: str) -> float | None:
        value = fields.get(name, same)
        return None if value is None else float(value) / 1e3

    peak = _PEAK.search(text)
    return {
        "load": load,
        "first": first,
        "median": percentile("median"),
        "p5": percentile("p5"),
        "p95": percentile("p95"),
        "mean": mean,
        "n": int(float(fields["count"])),
        "memory_bytes": round(float(peak[1]) * MEBIBYTE) if peak else None,
        "delegate_applied": applied(text, delegate),
    }


def applied(text: str, delegate: str) -> bool | None:
    """Returns whether the tool said that a delegate took the graph or a part; None if unsaid."""
    name = DELEGATES[delegate]
    if not name:
        return None
    if re.search(rf"Explicitly applied {name} delegate, and the model graph will be ", text):
        return True
    if re.search(rf"Though {name} delegate is explicitly applied, the model graph will not", text):
        return False
    return None


def refusal(text: str, delegate: str) -> str | None:
    """Returns what the tool said where it could not use a delegate; None if it could."""
    name = DELEGATES[delegate]
    if not name:
        return None
    refused = re.search(
        rf".*(Failed to apply {name} delegate|{name} acceleration is unsupported|"
        rf"Unconsumed cmdline flags:.*--use_{delegate}\b|"
        r"delegate provider should not be nullptr).*",
        text,
    )
    if not refused:
        return None
    why, said = error_line(text[: refused.start()]), _plain(refused[0])
    return f"{why}; {said}" if why else said


def failure(
    ran: Ran, *, model: str, delegate: str, timeout_s: float, doing: str
) -> EdgekitError | None:
    """Says why a run of the tool failed; None for one that ended well.

    Args:
        ran: how it ended, and what it printed.
        model: the name of the model's file there.
        delegate: which it was asked for, of `DELEGATES`.
        timeout_s: how long it was given.
        doing: what for, such as "on photo 7".
    """
    said = error_line(ran.text) or _last_line(ran.text)
    if ran.code is None:
        return EdgekitError(
            f"benchmark_model hung {doing} and was stopped after {timeout_s:g} s",
            cause=_last_line(ran.text),
            hint="`edgekit bench --timeout` gives it more seconds",
        )
    if ran.code in (126, 127) or (ran.code and _UNSTARTED.search(ran.text)):
        return unstarted(said)
    if refused := refusal(ran.text, delegate):
        return EdgekitError(
            f"benchmark_model cannot use the delegate '{delegate}' {doing}",
            cause=refused,
            hint="another `edgekit bench --delegate`, or a build of the tool with this one",
        )
    if name := signal_name(ran.code):
        hint = "free some memory: Linux kills what takes too much" if name == "SIGKILL" else None
        return EdgekitError(f"benchmark_model was killed by {name} {doing}", cause=said, hint=hint)
    if ran.code == 0:
        return None
    if _LOADING.search(ran.text):
        return EdgekitError(f"benchmark_model cannot load {model}", cause=said)
    return EdgekitError(
        f"benchmark_model ended with exit code {ran.code} {doing}", cause=said or "it said nothing"
    )


def unstarted(said: str | None) -> MissingToolError:
    """The error for a tool that the device cannot start."""
    return MissingToolError(
        "benchmark_model cannot be started on the device",
        cause=said,
        hint="take a statically linked build for its processor, such as TensorFlow's "
        "android_aarch64_benchmark_model, in a folder whose programs may run (/data/local/tmp)",
    )


def signal_name(code: int) -> str | None:
    """Returns the signal behind an exit code: minus its number, or 128 more in a shell."""
    number = -code if code < 0 else code - 128
    if not 0 < number < 65:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def error_line(text: str) -> str | None:
    """Returns the first line that tells of an error, without what loggers put before it."""
    return next((_plain(line) for line in text.splitlines() if _ERROR.search(line)), None)


def _last_line(text: str) -> str | None:
    lines = [_plain(line) for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


def _plain(line: str) -> str:
    return _PREFIX.sub("", line.strip())
