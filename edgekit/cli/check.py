"""``edgekit check FILE``: what a target will make of a .tflite file, before it is compiled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekit.targets.base import Finding
    from edgekit.targets.edgetpu.mapping import Prediction


def check(
    file: Annotated[Path, typer.Argument(help="A .tflite file, edgekit's or another's.")],
    target: Annotated[str, typer.Option(help="Where it shall run.", metavar="NAME")] = "edgetpu",
    min_mapped: Annotated[
        float | None,
        typer.Option(
            help="Percent of the operators that must run on the accelerator; else it ends with 5.",
            min=0,
            max=100,
            show_default=False,
        ),
    ] = None,
    operators: Annotated[
        bool, typer.Option("--operators", help="List every operator, not kinds of them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Predict which operators of a file a target runs, what will fit, and what to change.

    For the Edge TPU this is a prediction of what compiler 16.0 will say, by compiled files, logs,
    its documentation and its users' reports; what none of them shows counts as mapped, and is
    listed as "not seen". The compiler itself is not needed.
    """
    from edgekit.converters.model_files import read_about
    from edgekit.errors import UsageError
    from edgekit.system.console import CONTROLS
    from edgekit.targets import registry

    found = registry.find(target)
    findings = found.check(file)
    prediction = found.predict(file)
    if min_mapped is not None and prediction is None:
        raise UsageError(
            f"--min-mapped is not for the target {target}",
            cause="it has no accelerator that operators are mapped to",
        )
    about = read_about(file)
    if json:
        from dataclasses import asdict
        from json import dumps

        document = {
            "schema_version": 1,
            "path": str(file),
            "target": target,
            "scheme": about.scheme,
            "findings": [asdict(finding) for finding in findings],
            **(prediction.to_dict() if prediction else {}),
        }
        print(dumps(document, indent=2, ensure_ascii=False))
    else:
        said = f" ({about.scheme_in_words})" if about.scheme_in_words else ""
        lines = [f"{file} for {target}: {about.scheme}{said}", ""]
        lines += _predicted(prediction, operators) if prediction else []
        lines += _requirements(findings)
        print("\n".join(lines).translate(CONTROLS))
    if prediction is not None and min_mapped is not None:
        _gate(prediction, min_mapped)


def _gate(prediction: Prediction, min_mapped: float) -> None:
    from edgekit.errors import GateError

    share = 100 * prediction.share_of_operators
    if share >= min_mapped:
        return
    cause, hint = next(iter(prediction.refused), None), None
    blocking = prediction.first_blocking
    if blocking:
        cause = cause or f"{blocking.index} {blocking.name}: {blocking.reason}"
        hint = blocking.fix
    message = f"{share:.1f} % of the operators are mapped, not {min_mapped:g} %"
    raise GateError(message, cause=cause, hint=hint)


def _predicted(prediction: Prediction, every: bool) -> list[str]:
    """The table in the compiler's form, then what it adds up to."""
    lines = _every(prediction) if every else _by_kind(prediction)
    blocking = prediction.first_blocking
    return [
        *lines,
        "",
        f"mapped       {prediction.on_tpu} of {len(prediction.operators)} operators "
        f"({100 * prediction.share_of_operators:.1f} %), "
        f"{100 * prediction.share_of_macs:.1f} % of the MACs",
        *_not_seen(prediction),
        _subgraphs(prediction),
        "blocking     " + (f"{blocking.index} {blocking.name}" if blocking else "no operator"),
        *_memory(prediction),
        "",
    ]


def _by_kind(prediction: Prediction) -> list[str]:
    counts = Counter((op.name, op.status) for op in prediction.operators)
    return [
        f"{'Operator':<31}{'Count':<11}Status",
        "",
        *(f"{name:<31}{count:<11}{status}" for (name, status), count in sorted(counts.items())),
    ]


def _every(prediction: Prediction) -> list[str]:
    return [
        f"{'':<6}{'Operator':<31}{'MACs':>14}  Status",
        "",
        *(f"{op.index:<6}{op.name:<31}{op.macs:>14,}  {op.status}" for op in prediction.operators),
    ]


def _not_seen(prediction: Prediction) -> list[str]:
    """The operators that count as mapped though nothing shows it, the like in one line."""
    kinds = Counter((op.name, op.reason) for op in prediction.not_seen)
    count = len(prediction.not_seen)
    noun = "operator counts" if count == 1 else "operators count"
    head = f"not seen     {count} {noun} as mapped; no compiled file or log shows it"
    lines = [f"  {times} x {name}: {reason}" for (name, reason), times in sorted(kinds.items())]
    return [head, *lines] if count else []


def _subgraphs(prediction: Prediction) -> str:
    more = prediction.possible_subgraphs
    if prediction.refused or more <= 1:
        return f"subgraphs    {prediction.subgraphs}"
    return (
        f"subgraphs    {prediction.subgraphs}; with "
        f"`edgekit compile --multiple-subgraphs` {more}, "
        "which is often slower than the CPU alone"
    )


def _memory(prediction: Prediction) -> list[str]:
    from edgekit.system.text import size

    memory = prediction.memory
    lines = [
        f"parameters   {size(memory.parameter_bytes)}: {size(memory.on_chip_bytes)} kept on the "
        f"chip, {size(memory.streamed_bytes)} streamed (an estimate)",
        f"activations  {size(memory.largest_activation_bytes)} at the largest operator",
    ]
    if memory.streamed_bytes:
        times = memory.streaming_ms()
        lines.append(
            f"streaming    at least {times['usb2']:.1f} ms per inference over USB 2, "
            f"{times['usb3']:.1f} ms over USB 3, {times['pcie']:.1f} ms over PCIe (an estimate)"
        )
    return lines


def _requirements(findings: list[Finding]) -> list[str]:
    if not findings:
        return ["nothing in it breaks a rule of the target"]
    return [
        f"{f.severity}: {f.where}: {f.message}\n  {f.fix}"
        for f in sorted(findings, key=lambda finding: finding.severity)
    ]
