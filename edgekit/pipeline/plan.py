"""Which stages a build has, and what each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.options import BuildOptions
from edgekit.pipeline import evaluation, repair, steps
from edgekit.pipeline.engines import make_engine
from edgekit.pipeline.forms import lay_out
from edgekit.pipeline.foundation import Foundation, Layout, add_float_row, lay_foundation
from edgekit.pipeline.ladder import climb
from edgekit.pipeline.recipes import make_qat_recipe
from edgekit.pipeline.stage import Stage, StageStore
from edgekit.pipeline.workshop import Folders
from edgekit.report.host import installed
from edgekit.spec import ModelSpec
from edgekit.targets.base import Target
from edgekit.targets.forms import Form

if TYPE_CHECKING:
    from edgekit.training.world import World

#: A stage between ranges and file: role, name, work, and what it reads of the options.
Repair = tuple[str, str, Callable[..., str], dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """The stages of a build, in order, and the names by which others find them.

    Attributes:
        base: the first stages, and what they decide.
        stages: by role; see `make_plan` for the roles.
        forms: what the targets have of their own.
    """

    base: Foundation
    stages: dict[str, Stage]
    forms: tuple[Form, ...] = ()


def make_plan(
    options: BuildOptions,
    store: StageStore,
    *,
    targets: Sequence[Target] = (),
    forms: Sequence[Form] = (),
    warn: Callable[[str], None] | None = None,
) -> Plan:
    """Lays out a build without running any of it.

    Roles: ``data``, ``weights``, ``train`` (unless there are no epochs), ``fp32``, further
    schemes, ``calibrate``, ``quantize``, ``repair`` (unless ranges are all that is asked for),
    ``qat``, ``w8a8``, then ``evaluate ROW`` and ``bench FILE``; and for each form of a target's
    own its ROW, ``evaluate ROW`` and ``bench ROW``.

    Args:
        options: of the build.
        store: where its stages lie.
        targets: that the files are for.
        forms: what they have of their own.
        warn: told what training has to say.

    Raises:
        UsageError: the model, a path or a value cannot be used, or a target cannot run the network.
    """
    layout = Layout(store)
    add = layout.add
    base = lay_foundation(layout, options, warn=warn)
    data, weights, model, trained = base.data, base.weights, base.model, base.trained
    threads = base.threads
    mixed = all(target.accepts_mixed for target in targets)
    preparing = [target for target in targets if type(target).prepare is not Target.prepare]
    if preparing:
        _check_preparation(base.spec, base.resolution, preparing)
    writer = tensorflow_version()
    files: dict[str, Path] = {}
    for scheme in (steps.FP32, *options.schemes):
        files[scheme] = add(
            scheme,
            f"convert {scheme}",
            partial(
                steps.convert_float,
                data=data,
                weights=weights,
                model=model,
                head=options.head,
                scheme=scheme,
            ),
            (trained,),
            head=options.head,
            record=2,
            tensorflow=writer,
        )
    calibration = add(
        "calibrate",
        "calibrate",
        partial(
            steps.calibrate,
            data=data,
            weights=weights,
            model=model,
            head=options.head,
            targets=preparing,
        ),
        (trained,),
        head=options.head,
        method=steps.INPUT_METHOD,
        record=2,  # of the histograms and warnings
        # Where no target rewrites the network, its files are the same whatever the targets.
        **({"targets": [target.name for target in preparing]} if preparing else {}),
    )
    quantized = add(
        "quantize",
        f"quantize {steps.W8A8}",
        partial(
            steps.quantize,
            calibration=calibration,
            method=options.ranges,
            named=options.tensor_ranges,
        ),
        ("calibrate",),
        method=options.ranges,
        named=options.tensor_ranges,
    )
    folders = Folders(data, weights, model, calibration, quantized)
    finished = "quantize"
    for role, name, work, reads in repairs(options, threads, mixed):
        quantized = add(role, name, partial(work, folders=folders), (finished,), **reads)
        folders = replace(folders, quantized=quantized)
        finished = role
    files["w8a8"] = add(
        "w8a8",
        f"convert {steps.W8A8}",
        partial(
            steps.convert_int8,
            weights=weights,
            quantized=quantized,
            io=options.io,
        ),
        (finished,),
        io=options.io,
        record=2,  # of the preprocessing, in the file
        tensorflow=writer,
    )
    device = options.torch_device
    common: dict[str, Any] = {"data": data, "weights": weights}
    rows = {**common, "model": model, "head": options.head}
    add_float_row(layout, base, device)
    simulation = partial(
        evaluation.evaluate_simulation,
        **rows,
        calibration=calibration,
        quantized=quantized,
        device=device,
    )
    add("evaluate w8a8-sim", "evaluate w8a8-sim", simulation, (finished,))
    runtime = installed("ai-edge-litert")
    for role, folder in files.items():
        on_file: dict[str, Any] = {"converted": folder, "threads": threads}
        name = f"evaluate {role}-tflite"
        add(
            name,
            name,
            partial(evaluation.evaluate_file, **rows, **on_file),
            (role,),
            litert=runtime,
        )
        name = f"bench {role}-tflite"
        add(
            name,
            name,
            partial(evaluation.bench, **common, **on_file),
            (role,),
            litert=runtime,
            threads=threads,
        )
    on_int8: dict[str, Any] = {"converted": files["w8a8"], "threads": threads}
    builtin_row = partial(evaluation.evaluate_file, **rows, **on_int8, kernels="builtin")
    name = "evaluate built-in kernels"
    add("evaluate w8a8-builtin", name, builtin_row, ("w8a8",), litert=runtime)
    lay_out(
        add,
        forms,
        folders,
        trained=trained,
        finished=finished,
        head=options.head,
        io=options.io,
        threads=threads,
        seed=options.seed,
    )
    return Plan(base, layout.stages, tuple(forms))


def make_training_plan(
    options: BuildOptions,
    store: StageStore,
    *,
    world: World | None = None,
    warn: Callable[[str], None] | None = None,
) -> Plan:
    """Lays out a training alone: ``data``, ``weights``, ``train``, ``evaluate fp32-torch``.

    A build of the same options in the same folder goes on from these stages.

    Raises:
        UsageError: the model, a path or a value cannot be used.
    """
    layout = Layout(store)
    base = lay_foundation(layout, options, world=world, warn=warn)
    add_float_row(layout, base, options.torch_device)
    return Plan(base, layout.stages)


def _check_preparation(spec: ModelSpec, resolution: int, targets: Sequence[Target]) -> None:
    """Refuses a network that a target cannot run before hours of training, not after."""
    from edgekit.architecture import build_graph
    from edgekit.passes import expand_activations

    graph = expand_activations(build_graph(spec, resolution=resolution, seed=None))
    for target in targets:
        target.prepare(graph)


def repairs(options: BuildOptions, threads: int, mixed: bool) -> Iterator[Repair]:
    """The stages between ranges and file: role, name, work, and what it reads of the options."""
    device = options.torch_device
    work: Callable[..., str]
    if options.quantize == "auto":
        work = partial(
            climb,
            head=options.head,
            max_drop=options.budget or 0.0,
            mixed=mixed,
            device=device,
            threads=threads,
            seed=options.seed,
        )
        yield "repair", "climb to the budget", work, {"max_drop": options.budget, "mixed": mixed}
    elif options.quantize != "ranges":
        kept, source = options.keep_float, options.bias_from
        work = partial(
            repair.correct, head=options.head, keep_float=kept, source=source, device=device
        )
        yield "repair", "correct biases", work, {"keep_float": kept, "source": source}
    if options.quantize == "qat":
        recipe = make_qat_recipe(options)
        on_calibration = options.distill_only and options.calibration is not None
        engine = partial(make_engine, options)
        work = partial(
            repair.train_quantized, recipe=recipe, on_calibration=on_calibration, engine=engine
        )
        reads = {"recipe": asdict(recipe), "on_calibration": on_calibration}
        yield "qat", "train w8a8-static", work, {**reads, "torch": installed("torch")}


def tensorflow_version() -> str | None:
    """The installed TensorFlow's version, found without importing it."""
    return installed("tensorflow-cpu") or installed("tensorflow")
