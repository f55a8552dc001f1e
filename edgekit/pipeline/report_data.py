"""From finished stages to the report, the manifest and the photos that int8 lost."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit import runs
from edgekit.calibration.checks import listed
from edgekit.data.splits import Splits
from edgekit.errors import GateError
from edgekit.networks.efficientnet.catalog import known_risk
from edgekit.networks.schemes import FP32, MIXED, W8A8
from edgekit.options.build import BuildOptions
from edgekit.options.fields import option_name
from edgekit.options.quantization import SCHEMES
from edgekit.options.recipes import make_qat_recipe
from edgekit.pipeline.auto_quantize import held_out, read_search
from edgekit.pipeline.findings import (
    find_inversions,
    find_outliers,
    quantized_graph,
    read_outputs,
)
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.stage import Outcome
from edgekit.pipeline.stages.evaluate import spread_photos
from edgekit.report.diagnosis import diagnose, emitted, explain, explain_inversion
from edgekit.report.document import (
    REFERENCE,
    SCHEMA_VERSION,
    Document,
    NoiseFloor,
    Row,
    make_row,
    summarize_ranges,
    task_of,
)
from edgekit.report.document import Target as TargetEntry
from edgekit.report.document import write_json as write_report
from edgekit.report.html import MAX_PHOTOS, write_html
from edgekit.system.files import read_json, write_json
from edgekit.system.hashing import hash_file
from edgekit.system.host import describe_host, installed, int8_dot_product
from edgekit.targets.files import Form
from edgekit.tasks.task import Example, Task
from edgekit.training import outputs
from edgekit.version import __version__

Outcomes = Mapping[str, Outcome]

#: Distributions whose versions decide results.
PACKAGES = ("torch", "ai-edge-litert", "numpy", "pillow")
MANIFEST_VERSION = 1
#: Of those that the trained network errs on most.
WORST_PHOTOS = 12


def command_line(options: BuildOptions, command: str = "build") -> str:
    """The command that asks for exactly these options."""
    words = ["edgekit", command, options.model]
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if item.name == "model" or value == item.default:
            continue
        flag = "--" + option_name(item.name)
        if isinstance(value, bool):
            words.append(flag if value else "--no-" + option_name(item.name))
        else:
            for one in value if isinstance(value, tuple) else (value,):
                words += [flag, str(one)]
    return shlex.join(words)


def describe_run(
    options: BuildOptions,
    plan: Plan,
    outcomes: Outcomes,
    rows: Sequence[Row],
    folder: Path,
    files: Mapping[str, Path],
    *,
    command: str = "build",
) -> Document:
    """What ``report.json`` holds of any run: how it was trained, and how well that went."""
    splits = runs.read_splits(outcomes["data"].folder)
    roles = [role for role in ("fp32-torch", "w8a8-tflite") if f"evaluate {role}" in outcomes]
    forms = {role: read_outputs(outcomes, role) for role in roles}
    labels = _labels(outcomes, splits)
    document = Document(
        schema_version=SCHEMA_VERSION,
        edgekit_version=__version__,
        model=plan.base.spec.name,
        output=(options.output or "logits") if options.head == "classifier" else "embedding",
        command=command_line(options, command),
        created=datetime.datetime.now().astimezone().isoformat(),
        rows=list(rows),
        stages=[
            {"name": o.name, "seconds": o.seconds, "cached": o.cached, "detail": o.detail}
            for o in outcomes.values()
        ],
        warnings=list(splits.warnings),
        data={
            "source": splits.source,
            "builtin": splits.builtin,
            "labels": list(splits.labels),
            "n_train": len(splits.train),
            "n_val": len(splits.val),
            "n_calibration": len(splits.calibration),
            "unreadable": len(splits.unreadable),
        },
        preprocessing=read_json(outcomes["weights"].folder / runs.PREPROCESSING),
        training=None,
        quantization=None,
        evaluation=_task(outcomes).page.evaluate(forms, labels, splits.labels),
        targets=[],
        devices=[],
        files=[
            {
                "path": str(path.relative_to(folder)),
                "sha256": hash_file(path),
                "bytes": path.stat().st_size,
            }
            for path in files.values()
        ],
        host=describe_host((*PACKAGES, *dict.fromkeys(form.package for form in plan.forms))),
    )
    if "train" in outcomes:
        trained = outcomes["train"].folder
        recipe = dataclasses.asdict(plan.base.recipe)
        document["training"] = {"history": read_json(trained / outputs.HISTORY), "recipe": recipe}
        if (trained / runs.EARLIER).exists():
            document["earlier"] = read_json(trained / runs.EARLIER)
    return document


def collect_document(
    options: BuildOptions,
    plan: Plan,
    outcomes: Outcomes,
    targets: Sequence[TargetEntry],
    folder: Path,
    files: Mapping[str, Path],
) -> Document:
    """Puts together what a build's ``report.json`` holds."""
    splits = runs.read_splits(outcomes["data"].folder)
    calibration = read_json(outcomes["calibrate"].folder / runs.CALIBRATION)
    rows = make_rows(outcomes, splits, files, plan.forms)
    document = describe_run(options, plan, outcomes, rows, folder, files)
    scheme, in_float = scheme_written(files), kept_in_float(outcomes)
    ranges = read_json(outcomes["quantize"].folder / runs.RANGES)
    document["warnings"] += ranges["warnings"]
    if scheme == MIXED:
        document["warnings"].append(
            f"mixed precision: {len(in_float)} operators are computed in float: {listed(in_float)}"
        )
    if diagnosis := diagnose(rows, _task(outcomes).metric, int8_dot_product=int8_dot_product()):
        document["warnings"].append(diagnosis)
    outliers = find_outliers(outcomes, plan.forms, files, splits)
    document["warnings"] += [explain(outlier, len(splits.val)) for outlier in outliers]
    inversions = find_inversions(outcomes, scheme)
    document["warnings"] += [explain_inversion(one, len(splits.val)) for one in inversions]
    qat = outcomes.get("qat")
    document["quantization"] = {
        "scheme": scheme,
        "risk": ": ".join(known_risk(plan.base.spec)),
        "float_layers": in_float,
        "method": options.ranges,
        "repair": options.quantize,
        "search": judged(outcomes, splits),
        "noise_floor": noise_floor(outcomes),
        "outliers": outliers,
        "inversions": inversions,
        "qat": {"history": read_json(qat.folder / outputs.HISTORY)} if qat else None,
        "calibration_digest": calibration["sha256"],
        "tensors": len(ranges["tensors"]),
        **summarize_ranges(ranges["tensors"]),
        "input_mean": calibration["input_mean"],
        "input_std": calibration["input_std"],
    }
    document["targets"] = list(targets)
    return document


def check_budget(document: Document, budget: float | None) -> GateError | None:
    """Says by how much the int8 file misses the budget, if it does.

    With a search, the photos that chose decide; the others stand in the report.
    """
    search = document["quantization"]["search"] if document["quantization"] else None
    row = emitted(document["rows"])
    drop, loses = (row["drop_pp"] if row else None), "loses"
    if search is not None:
        chosen = next(trial for trial in search["trials"] if trial["name"] == search["chosen"])
        drop = max(chosen["drop_pp"], chosen["expected_pp"])
        loses = "loses" if drop == chosen["drop_pp"] else "is expected to lose"
    if budget is None or drop is None or drop <= budget:
        return None
    name = task_of(document).metric.name
    more = "--quantize auto, " if search is None else "--quantize qat, "
    if search and document["output"] == "embedding":  # has no answers to learn
        more = ""
    return GateError(
        f"int8 {loses} {drop:.2f} points of {name}, and {budget:g} are allowed",
        cause=f"that is {drop - budget:.2f} too many; the best model and the report are kept",
        hint=f"{more}more calibration photos, or a larger --max-drop",
    )


def scheme_written(files: Mapping[str, Path]) -> str:
    """The scheme of the quantized file."""
    return MIXED if MIXED in files else W8A8


def kept_in_float(outcomes: Outcomes) -> list[str]:
    """The operators of the quantized network that are computed in float."""
    from edgekit.networks.quantization import float_nodes

    return float_nodes(quantized_graph(outcomes))


def judged(outcomes: Outcomes, splits: Splits) -> dict[str, Any] | None:
    """The search of ``--quantize auto``, and what its choice gives on the photos held out."""
    search = read_search(outcomes)
    if search is not None:
        fp32, int8 = (read_outputs(outcomes, row) for row in ("fp32-torch", "w8a8-tflite"))
        task = _task(outcomes)
        search["held_out"] = held_out(task, search, fp32, int8, _labels(outcomes, splits))
    return search


def noise_floor(outcomes: Outcomes) -> NoiseFloor:
    """How far two correct runtimes are apart on the same int8 file: rounding, and nothing else."""
    builtin = read_outputs(outcomes, "w8a8-builtin")
    row = read_outputs(outcomes, "w8a8-tflite")
    xnnpack = row[spread_photos(len(row))]
    found = _task(outcomes).compare(builtin, xnnpack)
    return NoiseFloor(n=len(builtin), agreement=found.agreement, kl=found.kl)


def make_rows(
    outcomes: Outcomes, splits: Splits, files: Mapping[str, Path], forms: Sequence[Form]
) -> list[Row]:
    """One row per form of the model, all on the same photos."""
    reference, task = read_outputs(outcomes, "fp32-torch"), _task(outcomes)
    labels = _labels(outcomes, splits)
    torch, litert = f"torch {installed('torch')}", f"LiteRT {installed('ai-edge-litert')}"
    scheme = scheme_written(files)
    int8 = "w8a8" if scheme == W8A8 else scheme
    hosted = [form for form in forms if form.is_hosted]
    floats = [form for form in hosted if form.row.startswith("fp")]
    integers = [form for form in hosted if form not in floats]
    rows = []
    for stage, role, runtime, written in (
        *((role, role, torch, ()) for role in _floats(outcomes)),
        *((f"{name}-tflite",) * 2 + (litert, (name,)) for name in (FP32, *SCHEMES)),
        *(_form_row(form) for form in floats),
        (f"{int8}-sim", "w8a8-sim", torch, ()),
        (f"{int8}-tflite", "w8a8-tflite", litert, (scheme,)),
        *(_form_row(form) for form in integers),
    ):
        if f"evaluate {role}" not in outcomes:
            continue
        bench = outcomes.get(f"bench {role}")
        row = make_row(
            task,
            stage,
            runtime,
            read_outputs(outcomes, role),
            labels,
            reference=reference,
            size_bytes=sum(files[file].stat().st_size for file in written) or None,
            latency=read_json(bench.folder / runs.LATENCY) if bench else None,
        )
        rows.append(row)
    return rows


def _task(outcomes: Outcomes) -> Task:
    return runs.read_task(outcomes["weights"].folder)


def _floats(outcomes: Outcomes) -> list[str]:
    """The rows of the float network in torch: with the task's default output, then with others."""
    first = f"evaluate {REFERENCE}"
    return [name.removeprefix("evaluate ") for name in outcomes if name.startswith(first)]


def _labels(outcomes: Outcomes, splits: Splits) -> Any:
    """The labels of the validation photos."""
    preprocessing = runs.read_preprocessing(outcomes["weights"].folder)
    return _task(outcomes).labels(splits.val, preprocessing)


def _form_row(form: Form) -> tuple[str, str, str, tuple[str, ...]]:
    """A form's row, its role, its runtime, and its files by name."""
    return form.row, form.row, form.runtime_version, tuple(form.names)


def write_results(
    document: Document, options: BuildOptions, plan: Plan, outcomes: Outcomes, folder: Path
) -> dict[str, Path]:
    """Writes ``report.json``, ``report.html`` and ``manifest.json``; returns their paths."""
    paths = {name: folder / name for name in (runs.REPORT, "report.html", runs.MANIFEST)}
    write_report(document, paths[runs.REPORT])
    splits = runs.read_splits(outcomes["data"].folder)
    misses, total = find_misses(outcomes, splits) if document["quantization"] else ([], 0)
    worst = find_worst(outcomes, splits)
    write_html(document, paths["report.html"], photos=misses, total=total, worst=worst)
    write_json(paths[runs.MANIFEST], make_manifest(document, options, plan, outcomes, splits))
    return paths


def make_manifest(
    document: Document, options: BuildOptions, plan: Plan, outcomes: Outcomes, splits: Splits
) -> dict[str, Any]:
    """Everything that is needed to make the same files again, and to tell that they are."""
    asked = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(options).items()
    }
    return {
        "schema_version": MANIFEST_VERSION,
        "command": document["command"],
        "options": asked,
        "model": dataclasses.asdict(plan.base.spec),
        "recipe": dataclasses.asdict(plan.base.recipe),
        "qat_recipe": dataclasses.asdict(make_qat_recipe(options)) if "qat" in outcomes else None,
        "seed": options.seed,
        "data": {
            **document["data"],
            "train_sha256": splits.train.digest(),
            "val_sha256": splits.val.digest(),
        },
        "weights": read_json(outcomes["weights"].folder / runs.ORIGIN),
        "preprocessing": document["preprocessing"],
        "calibration": read_json(outcomes["calibrate"].folder / runs.CALIBRATION)
        if "calibrate" in outcomes
        else None,
        "stages": {
            role: {"name": stage.name, "key": stage.key} for role, stage in plan.stages.items()
        },
        "tools": document["host"]["versions"],
        "outputs": document["files"],
    }


def find_worst(outcomes: Outcomes, splits: Splits) -> Sequence[Example]:
    """The photos that the trained network errs on most."""
    preprocessing = runs.read_preprocessing(outcomes["weights"].folder)
    logits = read_outputs(outcomes, "fp32-torch")
    return _task(outcomes).page.hardest(logits, splits.val, preprocessing, WORST_PHOTOS)


def find_misses(outcomes: Outcomes, splits: Splits) -> tuple[Sequence[Example], int]:
    """Photos that fp32 got right and int8 wrong: the first few, and how many there are."""
    preprocessing = runs.read_preprocessing(outcomes["weights"].folder)
    fp32, int8 = (read_outputs(outcomes, stage) for stage in ("fp32-torch", "w8a8-tflite"))
    return _task(outcomes).page.lost(fp32, int8, splits.val, preprocessing, MAX_PHOTOS)
