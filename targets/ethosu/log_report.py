"""What ``edgekit report`` shows of what Vela printed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgekit.targets.ethosu.log import VelaLog, parse_log
from edgekit.targets.ethosu.mapping import fix_for, in_short
from edgekit.targets.logs import LogReader


def log_reader() -> LogReader:
    """Returns what reads Vela's output, as it is in NAME_vela.log."""
    return LogReader(
        decode=lambda data: data.decode("utf-8", errors="replace"),
        is_log_line=lambda line: False,
        read=_read,
        lines=_lines,
    )


def _read(text: str) -> list[dict[str, Any]]:
    log = parse_log(text)
    if log.network is None and not log.reasons and not log.failure:
        return []
    return [_model(log)]


def _model(log: VelaLog) -> dict[str, Any]:
    own = Counter((processor, kind) for processor, kind, _ in log.operators)
    left = Counter((kind, in_short(reason)) for (kind, _), reason in log.reasons.items())
    cause = log.failure
    return {
        "network": log.network,
        "failure": {"cause": cause, "fix": "look at the lines above it"} if cause else None,
        "mapped": log.mapped,
        "on_cpu": log.on_cpu,
        "memory_bytes": dict(log.memory),
        "operators": [
            {"processor": processor, "name": kind, "count": count}
            for (processor, kind), count in sorted(own.items())
        ],
        "left_on_cpu": [
            {"name": kind, "count": count, "reason": reason, "fix": fix_for(kind, reason)}
            for (kind, reason), count in sorted(left.items())
        ],
        "notes": list(log.notes),
    }


def _lines(model: dict[str, Any]) -> list[str]:
    from edgekit.targets.ethosu.summary import memory_text

    lines = ["", f"network      {model['network'] or 'not stated'}"]
    if model["mapped"] is not None:
        lines.append(f"mapped       {model['mapped']} of Vela's operators on the NPU, ")
        lines[-1] += f"{model['on_cpu']} on the CPU"
        lines.append(f"memory       {memory_text(model['memory_bytes'])}")
    if model["operators"]:
        lines += ["", f"{'Operator of Vela':<31}{'Count':<8}Processor"]
        lines += [
            f"{row['name']:<31}{row['count']:<8}{row['processor']}" for row in model["operators"]
        ]
    for row in model["left_on_cpu"]:
        lines += ["", f"{row['count']:>6}  {row['name']} on the CPU: {row['reason']}"]
        lines.append(f"        {row['fix']}")
    lines += [f"warning      {note}" for note in model["notes"]]
    if model["failure"]:
        lines += ["", f"failed       {model['failure']['cause']}"]
    elif model["mapped"] is None:
        lines += ["", "cut off      the text ends before it says how many operators are mapped"]
    return lines
