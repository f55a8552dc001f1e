"""What the rows mean, in words: the verdict, and the causes of what looks wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekit.report.document import REFERENCE, Inversion, Outlier, Row
from edgekit.runtimes.open import RUNTIMES
from edgekit.system.host import int8_dot_product
from edgekit.system.text import milliseconds, nats, percent, points
from edgekit.tasks.task import Metric

MIN_CONTROL_AGREEMENT = 0.995
_INT8_FILE = re.compile(r"w8a8-(?:mixed-)?([a-z]+)(?:-\w+)?")

#: Of a difference that is taken for more than chance, in standard errors: 95 %, both sides.
BEYOND_NOISE = 1.96


def verdict(rows: Sequence[Row], metric: Metric) -> str:
    """Says in one sentence what quantization cost, and whether the photos can tell."""
    by_stage = {row["stage"]: row for row in rows}
    reference = by_stage.get(REFERENCE)
    if not rows:
        return "Nothing was measured."
    quantized = emitted(rows)
    if quantized is None:
        row = reference or rows[-1]
        low, high = metric.interval(row)
        trained = list(by_stage) == [REFERENCE]
        name, score = "The trained network" if trained else "fp32", percent(metric.value(row))
        return (
            f"{name} is right on {score} % of {row['n']} photos "
            f"(95 % interval {percent(low)} to {percent(high)} %)"
            f"{'' if trained else '; nothing was quantized'}."
        )
    row = quantized
    form = row["stage"].rsplit("-", 1)[0]
    name = "int8" if form == "w8a8" else form
    if reference is None or row["drop_pp"] is None:
        return f"{name} is right on {percent(metric.value(row))} % of {row['n']} photos."
    drop = row["drop_pp"]
    change = "no drop" if drop == 0 else f"a drop of {points(drop)} points"
    if drop < 0:
        change = f"a gain of {points(-drop)} points"
    return (
        f"{name} keeps {percent(metric.value(row))} % {metric.name} of fp32's "
        f"{percent(metric.value(reference))} %: {change}{_significance(row)}."
    )


def emitted(rows: Sequence[Row]) -> Row | None:
    """The row of the int8 TFLite file, which every build writes; the last of others without it."""
    quantized = [row for row in rows if not row["stage"].startswith("fp32")]
    written = [row for row in quantized if row["stage"].endswith("-tflite")]
    found = written or quantized
    return found[-1] if found else None


def _significance(row: Row) -> str:
    drop, error = row["drop_pp"], row["drop_se_pp"]
    if not drop or error is None:
        return f" on {row['n']} photos"
    if abs(drop) <= BEYOND_NOISE * error:
        return f", within the noise of {row['n']} photos"
    return f", more than the noise of {row['n']} photos explains"


def diagnose(
    rows: Sequence[Row], metric: Metric, *, int8_dot_product: bool | None = None
) -> str | None:
    """Names the cause of a result that would otherwise be blamed on quantization.

    Args:
        rows: the rows of one report.
        metric: of its task.
        int8_dot_product: what `int8_dot_product` says of the machine that measured; asked here
            where it is None.

    Returns:
        One line per finding, or None where nothing is odd.
    """
    by_stage = {row["stage"]: row for row in rows}
    torch = [row for stage, row in by_stage.items() if stage.startswith(REFERENCE)]
    findings = []
    for stage, control in by_stage.items():
        # The last of them has the output that files have.
        if torch and stage.startswith("fp32-") and not stage.startswith(REFERENCE):
            findings.append(_control(torch[-1], control, metric))
    for stage, int8 in by_stage.items():
        runtime = _INT8_FILE.fullmatch(stage)
        floating = by_stage.get(f"fp32-{runtime[1]}") if runtime else None
        if floating:
            findings.append(_speed(floating, int8, int8_dot_product))
    return "\n".join(filter(None, findings)) or None


def _control(reference: Row, control: Row, metric: Metric) -> str | None:
    before, after = metric.value(reference), metric.value(control)
    photos = abs(before - after) * control["n"]
    agreement, own = control["agreement"], reference["agreement"]
    # Of another output than the reference's, as far as that itself is from it.
    expected = MIN_CONTROL_AGREEMENT * (1.0 if own is None else own)
    if photos < 1.5 and (agreement is None or agreement >= expected):
        return None
    return (
        f"{control['stage']} differs from {reference['stage']} ({metric.name} {percent(after)} % "
        f"against {percent(before)} %, agreement {percent(agreement)} %): this is conversion or "
        "preprocessing, not quantization"
    )


def _speed(control: Row, int8: Row, dot_product: bool | None) -> str | None:
    fp32_ms, int8_ms = control["latency_ms"], int8["latency_ms"]
    if not fp32_ms or not int8_ms or int8_ms["median"] <= fp32_ms["median"]:
        return None
    known = int8_dot_product() if dot_product is None else dot_product
    reason = {
        True: "although the CPU has int8 dot-product instructions, so the runtime's int8 kernels "
        "are at fault",
        False: "because the host CPU has no int8 dot-product instructions (VNNI or dotprod)",
        None: "and whether the host CPU has int8 dot-product instructions is not known",
    }[known]
    own = next((r.slow_int8 for r in RUNTIMES.values() if int8["stage"].endswith(r.name)), None)
    reason = own if known and own else reason
    plain = int8["stage"] == "w8a8-tflite"
    names = ("int8", "fp32") if plain else (int8["stage"], control["stage"])
    medians = [f"{milliseconds(ms['median'])} ms" for ms in (int8_ms, fp32_ms)]
    return (
        f"{names[0]} is slower than {names[1]} on this host (median {medians[0]} against "
        f"{medians[1]}), {reason}; measure on the device itself"
    )


def explain(outlier: Outlier, photos: int) -> str:
    """Says by how much a file is further from fp32 than its like, and at which operator."""
    text = (
        f"{outlier['stage']} loses more than the other forms of the same quantization (KL "
        f"{nats(outlier['kl'])} against {nats(outlier['others_kl'])}, more than the noise of "
        f"{photos} photos explains)"
    )
    if outlier["tensor"] is None:
        return f"{text}: the file, not the quantization, is at fault"
    where, steps = f"{outlier['operator']} '{outlier['tensor']}'", f"{outlier['steps'] or 0:.2f}"
    if outlier["first"]:
        return f"{text}: {where} is the first operator that differs, by {steps} steps on average"
    return f"{text}: no operator alone explains it; {where} differs most, by {steps} steps"


def explain_inversion(found: Inversion, photos: int) -> str:
    """Says by how much a scheme is worse than a coarser one of the same build."""
    return (
        f"{found['scheme']} is worse than {found['coarser']}, which is coarser (KL "
        f"{nats(found['kl'])} against {nats(found['coarser_kl'])}, more than the noise of "
        f"{photos} photos explains)"
    )
