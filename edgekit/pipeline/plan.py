"""Which stages a build has, and what each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.schemes import FP32, W8A8
from edgekit.options.build import BuildOptions
from edgekit.options.recipes import make_qat_recipe
from edgekit.pipeline.auto_quantize import climb
from edgekit.pipeline.engine import make_engine
from edgekit.pipeline.forms import lay_out
from edgekit.pipeline.foundation import Foundation, Layout, add_float_row, lay_foundation
from edgekit.pipeline.post_training import Folders
from edgekit.pipeline.stage import Stage, StageStore
from edgekit.pipeline.stages import convert as steps
from edgekit.pipeline.stages import correct as repair
from edgekit.pipeline.stages import evaluate as evaluation
from edgekit.system.host import installed
from edgekit.targets.base import Target
from edgekit.targets.files import Form

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

    Roles: ``data``, ``weights``, ``train`` (unless there are no epochs), ``fp32``, ``fp16`` where
    asked for, ``calibrate``, ``quantize``, ``repair`` (unless ranges are all that is asked for),
    ``qat``, for each further scheme ``quantize SCHEME`` and SCHEME, ``w8a8``, then ``evaluate ROW``
    and ``bench FILE``; and for each form of a target's own its ROW, ``evaluate ROW`` and
    ``bench ROW``.

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
    base = lay_foundation(layout, options, warn=warn)
    preparing = [target for target in targets if target.prepares]
    if preparing:
        _check_preparation(base.spec, base.resolution, preparing)
    files = {
        scheme: _add_float_file(layout, base, options, scheme)
        for scheme in (FP32, *options.schemes)
        if scheme not in repair.FROM_INT8
    }
    folders = _add_ranges(layout, base, options, preparing)
    start = finished = "quantize"
    untrained = folders
    mixed = all(target.accepts_mixed for target in targets)
    for role, name, work, reads in repairs(options, base.threads, mixed):
        quantized = layout.add(role, name, partial(work, folders=folders), (finished,), **reads)
        folders = replace(folders, quantized=quantized)
        finished = role
        if role != "qat":  # weights that learned int8 activations are for those
            start, untrained = role, folders
    files |= _add_schemes(layout, untrained, options, start)
    files["w8a8"] = _add_quantized_file(layout, folders, "w8a8", W8A8, finished, options.io)
    add_float_row(layout, base, options.torch_device)
    simulation = partial(
        evaluation.evaluate_simulation,
        data=base.data,
        weights=base.weights,
        model=base.model,
        head=options.head,
        calibration=folders.calibration,
        quantized=folders.quantized,
        device=options.torch_device,
    )
    layout.add("evaluate w8a8-sim", "evaluate w8a8-sim", simulation, (finished,))
    _add_rows(layout, base, options.head, files)
    lay_out(
        layout.add,
        forms,
        folders,
        trained=base.trained,
        finished=finished,
        head=options.head,
        io=options.io,
        threads=base.threads,
        seed=options.seed,
    )
    return Plan(base, layout.stages, tuple(forms))


def _add_float_file(layout: Layout, base: Foundation, options: BuildOptions, scheme: str) -> Path:
    """Lays out the file of the network as trained, in a scheme that rounds to floats alone."""
    work = partial(
        steps.convert_float,
        weights=base.weights,
        model=base.model,
        head=options.head,
        scheme=scheme,
    )
    reads = {"head": options.head, "record": steps.WRITER}
    return layout.add(scheme, f"convert {scheme}", work, (base.trained,), **reads)


def _add_quantized_file(
    layout: Layout, folders: Folders, role: str, scheme: str, made: str, io: str
) -> Path:
    """Lays out the file of a quantized network that the stage ``made`` leaves."""
    work = partial(
        steps.convert_quantized,
        calibration=folders.calibration,
        weights=folders.weights,
        quantized=folders.quantized,
        io=io,
    )
    return layout.add(role, f"convert {scheme}", work, (made,), io=io, record=steps.WRITER)


def _add_ranges(
    layout: Layout, base: Foundation, options: BuildOptions, preparing: Sequence[Target]
) -> Folders:
    """Lays out ``calibrate`` and ``quantize``."""
    calibration = layout.add(
        "calibrate",
        "calibrate",
        partial(
            steps.calibrate,
            data=base.data,
            weights=base.weights,
            model=base.model,
            head=options.head,
            targets=preparing,
        ),
        (base.trained,),
        head=options.head,
        method=steps.INPUT_METHOD,
        record=2,  # of the histograms and warnings
        # Where no target rewrites the network, its files are the same whatever the targets.
        **({"targets": [target.name for target in preparing]} if preparing else {}),
    )
    reads: dict[str, Any] = {"method": options.ranges, "named": options.tensor_ranges}
    work = partial(steps.quantize, calibration=calibration, **reads)
    quantized = layout.add("quantize", f"quantize {W8A8}", work, ("calibrate",), **reads)
    return Folders(base.data, base.weights, base.model, calibration, quantized)


def _add_schemes(
    layout: Layout, folders: Folders, options: BuildOptions, start: str
) -> dict[str, Path]:
    """Lays out the network and the file of every scheme that is made from the int8 network."""
    files = {}
    auto = options.quantize == "auto"
    source = {"ranges": None, "auto": "photos"}.get(options.quantize, options.bias_from)
    for scheme in options.schemes:
        if scheme not in repair.FROM_INT8:
            continue
        work = partial(
            repair.make_scheme,
            folders=folders,
            scheme=scheme,
            head=options.head,
            source=source,
            thorough=auto,
            device=options.torch_device,
        )
        role, reads = f"quantize {scheme}", {"source": source, "thorough": auto}
        made = replace(folders, quantized=layout.add(role, role, work, (start,), **reads))
        files[scheme] = _add_quantized_file(layout, made, scheme, scheme, role, "float32")
    return files


def _add_rows(layout: Layout, base: Foundation, head: str, files: Mapping[str, Path]) -> None:
    """Lays out what is measured on TFLite's files: answers, latency, and the int8 noise floor."""
    runtime = installed("ai-edge-litert")
    common: dict[str, Any] = {"data": base.data, "weights": base.weights}
    rows = {**common, "model": base.model, "head": head}
    for role, folder in files.items():
        on_file: dict[str, Any] = {"converted": folder, "threads": base.threads}
        work = partial(evaluation.evaluate_file, **rows, **on_file)
        name = f"evaluate {role}-tflite"
        layout.add(name, name, work, (role,), litert=runtime)
        name = f"bench {role}-tflite"
        work = partial(evaluation.bench, **common, **on_file)
        layout.add(name, name, work, (role,), litert=runtime, threads=base.threads)
    on_int8: dict[str, Any] = {"converted": files["w8a8"], "threads": base.threads}
    builtin = partial(evaluation.evaluate_file, **rows, **on_int8, kernels="builtin")
    name = "evaluate built-in kernels"
    layout.add("evaluate w8a8-builtin", name, builtin, ("w8a8",), litert=runtime)


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
    from edgekit.networks.efficientnet.architecture import build_graph
    from edgekit.networks.passes import expand_activations

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
