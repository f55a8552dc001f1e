"""``edgekit check FILE``: what a target will make of a .tflite file, before it is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.from_options import add_compiler_options
from edgekit.cli.options import Json, TargetName
from edgekit.targets import registry

if TYPE_CHECKING:
    from edgekit.targets.base import Finding


@add_compiler_options
def check(
    file: Annotated[Path, typer.Argument(help="A model file, edgekit's or another's.")],
    target: TargetName = registry.DEFAULT,
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
    json: Json = False,
    given: dict[str, Any] | None = None,
) -> None:
    """Predict which operators of a file a target runs, what will fit, and what to change."""
    from edgekit.errors import UsageError
    from edgekit.system.console import CONTROLS
    from edgekit.targets.schemes import describe_scheme, scheme_of

    found = registry.find(target, given)
    examined = found.examine(file)
    prediction = examined.prediction
    if min_mapped is not None and prediction is None:
        for tool in found.toolchains:
            _ = tool.python  # what could say it may only be missing
        raise UsageError(
            f"--min-mapped is not for the target {target}",
            cause="it has no accelerator that operators are mapped to",
        )
    demand = found.demand(examined)
    if json:
        from dataclasses import asdict
        from json import dumps

        document = {
            "schema_version": 1,
            "path": str(file),
            "target": target,
            "scheme": scheme_of(examined.model),
            "findings": [asdict(finding) for finding in examined.findings],
            **(prediction.to_dict() if prediction else {}),
            **(demand.values if demand else {}),
        }
        print(dumps(document, indent=2, ensure_ascii=False))
    else:
        lines = [f"{file} for {target}: {describe_scheme(examined.model)}", ""]
        lines += [*prediction.lines(operators), ""] if prediction else []
        lines += [*demand.lines, ""] if demand else []
        lines += _requirements(examined.findings)
        print("\n".join(lines).translate(CONTROLS))
    if prediction is not None:
        prediction.demand(min_mapped)


def _requirements(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["nothing in it breaks a rule of the target"]
    return [
        f"{f.severity}: {f.where}: {f.message}\n  {f.fix}"
        for f in sorted(findings, key=lambda finding: finding.severity)
    ]


check.__doc__ = f"{check.__doc__}\n\n{registry.find(registry.DEFAULT).about_check}"
