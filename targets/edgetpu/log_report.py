"""What ``edgekit report`` shows of the Edge TPU compiler's logs and captured output."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgekit.system.text import size
from edgekit.targets.edgetpu.log import CompilerOutput, parse_outputs
from edgekit.targets.edgetpu.status import MAPPED, MEANINGS
from edgekit.targets.edgetpu.text import decode, unpacked
from edgekit.targets.logs import LogReader


def log_reader() -> LogReader:
    """Returns what reads what `edgetpu_compiler` printed, or the .log that it wrote."""
    return LogReader(
        decode=decode,
        is_log_line=lambda line: unpacked(line) != line,
        read=lambda text: [_model(output) for output in parse_outputs(text)],
        lines=_lines,
    )


def _model(output: CompilerOutput) -> dict[str, Any]:
    """The figures of one model, and what they mean."""
    mapped, on_cpu = output.mapped, output.on_cpu
    total = None if mapped is None or on_cpu is None else mapped + on_cpu
    meanings = {row.status: MEANINGS.get(row.status) for row in output.rows}
    failure = output.failure
    return {
        **output.to_dict(),
        "failure": {"cause": failure.cause, "fix": failure.fix} if failure else None,
        "missing": output.missing,
        "mapped": mapped,
        "on_cpu": on_cpu,
        "share_mapped": mapped / total if total and mapped is not None else None,
        "statuses": [
            {
                "status": status,
                "count": count,
                "meaning": meaning.text if (meaning := meanings[status]) else None,
                "fix": meaning.fix if meaning else None,
            }
            for status, count in _by_status(output).items()
        ],
    }


def _by_status(output: CompilerOutput) -> dict[str, int]:
    """Operators by status: those on the Edge TPU first, then the commonest."""
    counts: Counter[str] = Counter()
    for row in output.rows:
        counts[row.status] += row.count
    return dict(sorted(counts.items(), key=lambda item: (item[0] != MAPPED, -item[1])))


def _lines(model: dict[str, Any]) -> list[str]:
    lines = ["", *_head(model)]
    if model["rows"]:
        lines += ["", *_operators(model), "", *_statuses(model)]
    if model["failure"]:
        lines += ["", f"failed       {model['failure']['cause']}"]
        lines.append(f"             {model['failure']['fix']}")
    elif model["mapped"] is None:
        lines += ["", "cut off      the text ends before it says how many operators are mapped"]
        lines.append("             give all that the compiler printed, or the .log that it wrote")
    return lines


def _head(model: dict[str, Any]) -> list[str]:
    """The figures; those that a .log does not hold are left out."""
    input_size, output_size = size(model["input_bytes"]), size(model["output_bytes"])
    cache = (
        f"{size(model['on_chip_bytes'])} used, {size(model['on_chip_free_bytes'])} free; "
        f"{size(model['off_chip_bytes'])} streamed for every inference"
    )
    known = (
        ("compiler", model["version"], model["version"]),
        ("input", model["input_model"], f"{model['input_model']}, {input_size}"),
        ("output", model["output_model"], f"{model['output_model']}, {output_size}"),
        ("took", model["milliseconds"], f"{model['milliseconds']} ms"),
        ("cache", model["on_chip_bytes"], cache),
        ("subgraphs", model["subgraphs"], model["subgraphs"]),
        ("mapped", model["mapped"], _share(model)),
    )
    return [
        f"{name:<12} {text}".removesuffix(f", {size(None)}")
        for name, figure, text in known
        if figure is not None
    ]


def _share(model: dict[str, Any]) -> str:
    if model["share_mapped"] is None:
        return f"{model['mapped']} operators"
    total = model["mapped"] + model["on_cpu"]
    lacking = f"; the text lacks {model['missing']} more" if model["missing"] else ""
    return f"{model['mapped']} of {total} operators ({100 * model['share_mapped']:.1f} %){lacking}"


def _operators(model: dict[str, Any]) -> list[str]:
    """The compiler's table, in its form, by status."""
    rank = {entry["status"]: place for place, entry in enumerate(model["statuses"])}
    rows = sorted(model["rows"], key=lambda row: (rank[row["status"]], -row["count"]))
    return [
        f"{'Operator':<31}{'Count':<11}Status",
        *(f"{row['name']:<31}{row['count']:<11}{row['status']}" for row in rows),
    ]


def _statuses(model: dict[str, Any]) -> list[str]:
    """The totals, each with what it means and what to do."""
    lines = []
    for entry in model["statuses"]:
        lines.append(f"{entry['count']:>6}  {entry['status']}")
        lines += [f"        {entry[key]}" for key in ("meaning", "fix") if entry[key]]
    return lines
