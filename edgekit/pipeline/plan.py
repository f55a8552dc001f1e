"""Which stages a build has: a list of constructors, from the options to the stages by role."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.schemes import FP32, W8A8
from edgekit.options.build import BuildOptions
from edgekit.options.recipes import make_qat_recipe, make_recipe, make_teacher
from edgekit.pipeline.auto_quantize import SearchWithinBudget
from edgekit.pipeline.engine import share_of_cores
from edgekit.pipeline.stage import Stage
from edgekit.pipeline.stages.chips import EvaluateReference, Simulate
from edgekit.pipeline.stages.convert import (
    ConvertFloat,
    ConvertForm,
    ConvertQuantized,
    ModelFile,
)
from edgekit.pipeline.stages.correct import CorrectBiases, TrainQuantized
from edgekit.pipeline.stages.data import Data, Sources
from edgekit.pipeline.stages.evaluate import Bench, EvaluateFile, EvaluateSimulation, EvaluateTorch
from edgekit.pipeline.stages.quantize import Calibrate, Quantize, QuantizedNetwork
from edgekit.pipeline.stages.schemes import FROM_INT8, MakeScheme
from edgekit.pipeline.stages.train import FloatNetwork, Train
from edgekit.pipeline.stages.weights import Start, Weights, find_start
from edgekit.targets.base import Target
from edgekit.targets.executions import Execution
from edgekit.targets.files import Form
from edgekit.tasks.registry import find_task
from edgekit.training.recipe import Recipe, StudentRecipe

if TYPE_CHECKING:
    from edgekit.training.world import World


@dataclass(frozen=True)
class Base:
    """What every run begins with.

    Attributes:
        recipe: of the training; with 0 epochs there is no training stage.
        threads: CPU threads of a process.
        trained: the last stage that changes the float network.
    """

    recipe: Recipe
    threads: int
    trained: Weights | Train

    @property
    def spec(self) -> ModelSpec:
        """The variant."""
        return self.trained.weights.spec

    @property
    def resolution(self) -> int:
        """Side of the input in pixels."""
        return self.trained.weights.resolution

    @property
    def start(self) -> Start:
        """The weights that the run starts from."""
        return self.trained.weights.start


@dataclass(frozen=True)
class Plan:
    """The stages of a build, in order, and the names by which others find them.

    Attributes:
        base: what the first stages decide.
        stages: by role; see `make_plan` for the roles.
        forms: what the targets have of their own.
        executions: how chips' own arithmetic runs files, by role.
    """

    base: Base
    stages: dict[str, Stage]
    forms: tuple[Form, ...] = ()
    executions: Mapping[str, Execution] = field(default_factory=dict)

    def needs_tool(self, role: str) -> bool:
        """Whether a maker's tool does the stage, which may fail without ending the build."""
        tools = {form.row for form in self.forms if form.toolchain is not None}
        return role in self.executions or role in tools


def make_plan(
    options: BuildOptions,
    *,
    targets: Sequence[Target] = (),
    forms: Sequence[Form] = (),
    executions: Sequence[Execution] = (),
    warn: Callable[[str], None] | None = None,
) -> Plan:
    """Lays out a build without running any of it.

    Roles: ``data``, ``weights``, ``train`` (unless there are no epochs), ``fp32``, ``fp16`` where
    asked for, ``calibrate``, ``quantize``, ``repair`` (unless ranges are all that is asked for),
    ``qat``, for each further scheme ``quantize SCHEME`` and SCHEME, ``w8a8``, then ``evaluate ROW``
    and ``bench FILE``; and for each form of a target's own its ROW, ``evaluate ROW`` and
    ``bench ROW``, where this host runs it, and ``quantize SCHEME`` where it is of a scheme of its
    own. For executions of chips: ``evaluate reference kernels`` and ``run ROW``.

    Args:
        options: of the build.
        targets: that the files are for.
        forms: what they have of their own.
        executions: how chips run the files.
        warn: told what training has to say.

    Raises:
        UsageError: the model, a path or a value cannot be used, or a target cannot run the network.
    """
    base, stages = _first_stages(options, warn=warn)
    preparing = [target for target in targets if target.prepares]
    if preparing:
        _check_preparation(base.spec, base.resolution, preparing)
    network, output = FloatNetwork(base.trained, options.head), _output(options)
    files: dict[str, ModelFile] = {
        scheme: ConvertFloat(network=network, scheme=scheme, output=output)
        for scheme in (FP32, *options.schemes)
        if scheme not in FROM_INT8
    }
    stages |= files
    calibration = Calibrate(network=network, targets=preparing)
    ranges = Quantize(calibration=calibration, method=options.ranges, named=options.tensor_ranges)
    stages |= {"calibrate": calibration, "quantize": ranges}
    mixed = all(target.accepts_mixed for target in targets)
    untrained = _repair(options, base.threads, mixed, ranges)
    if untrained is not ranges:
        stages["repair"] = untrained
    finished = untrained  # weights that learned int8 activations are for those alone
    if options.quantize == "qat":
        stages["qat"] = finished = _train_quantized(options, untrained)
    for scheme in options.schemes:
        if scheme in FROM_INT8:
            made = _make_scheme(options, untrained, scheme)
            files[scheme] = ConvertQuantized(
                network=made, scheme=scheme, io="float32", output=output
            )
            stages |= {f"quantize {scheme}": made, scheme: files[scheme]}
    files["w8a8"] = ConvertQuantized(network=finished, scheme=W8A8, io=options.io, output=output)
    stages["w8a8"] = files["w8a8"]
    device, threads = options.torch_device, base.threads
    measured: list[Stage] = [
        EvaluateTorch(trained=base.trained, device=device),
        EvaluateSimulation(quantized=finished, device=device),
    ]
    if output:
        measured.append(EvaluateTorch(trained=base.trained, device=device, output=output))
    stages |= _by_name(measured) | _by_name(_measure(files.values(), threads))
    stages["evaluate w8a8-builtin"] = EvaluateFile(
        converted=files["w8a8"], kernels="builtin", threads=threads
    )
    for form in forms:
        source = finished if form.quantized else network
        # Ranges alone correct no biases, and weights that were trained learned int8 activations.
        if form.scheme in FROM_INT8 and options.quantize in ("ptq", "auto"):
            source = _make_scheme(options, untrained, form.scheme)
            stages[f"quantize {form.scheme}"] = source
        files[form.row] = ConvertForm(network=source, form=form, io=options.io, output=output)
        stages[form.row] = files[form.row]
        if form.is_hosted:
            stages |= _by_name(_measure([files[form.row]], threads))
    simulated = _simulate(executions, files, options.simulator_limit)
    return Plan(base, stages | simulated, tuple(forms), _roles(executions))


def make_training_plan(
    options: BuildOptions,
    *,
    world: World | None = None,
    warn: Callable[[str], None] | None = None,
) -> Plan:
    """Lays out a training alone: ``data``, ``weights``, ``train``, ``evaluate fp32-torch``.

    A build of the same options in the same folder goes on from these stages.

    Raises:
        UsageError: the model, a path or a value cannot be used.
    """
    base, stages = _first_stages(options, world=world, warn=warn)
    measured = EvaluateTorch(trained=base.trained, device=options.torch_device)
    return Plan(base, stages | _by_name([measured]))


def _output(options: BuildOptions) -> str:
    """What files end with; empty for the task's default.

    Raises:
        UsageError: the task has no such output.
    """
    known = find_task(options.spec.task).outputs
    if options.output is not None and options.output not in known:
        raise UsageError(
            f"files of {options.spec.name} do not end with '{options.output}'",
            hint=did_you_mean(options.output, known),
        )
    return "" if options.output in (None, known[0]) else str(options.output)


def _first_stages(
    options: BuildOptions,
    *,
    world: World | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[Base, dict[str, Stage]]:
    """Lays out ``data``, ``weights``, ``train`` (unless there are no epochs)."""
    spec, start = options.spec, find_start(options)
    recipe = make_recipe(options)
    builtin = options.data is None
    side = find_task(spec.task).builtin_side
    resolution = options.resolution or (spec.side_near(side) if builtin else spec.resolution)
    data = Data(
        sources=Sources(
            options.data,
            options.val,
            options.calibration,
            options.unlabelled,
            spec.task,
            options.photos,
        ),
        calibration_count=options.calibration_count,
        seed=options.seed,
        resolution=resolution if builtin else None,
    )
    crop = options.crop or (1.0 if builtin else None)
    fit = options.fit or spec.fit
    weights = Weights(data=data, spec=spec, resolution=resolution, crop=crop, fit=fit, start=start)
    stages: dict[str, Stage] = {"data": data, "weights": weights}
    trained: Weights | Train = weights
    if recipe.epochs:
        teacher = make_teacher(options, recipe) if isinstance(recipe, StudentRecipe) else None
        stages["train"] = trained = Train(
            weights=weights, recipe=recipe, teacher=teacher, engine=options, world=world, warn=warn
        )
    _ = trained.key  # now, so that photos and weights that are missing end the run here
    return Base(recipe, options.threads or share_of_cores(world), trained), stages


def _check_preparation(spec: ModelSpec, resolution: int, targets: Sequence[Target]) -> None:
    """Refuses a network that a target cannot run before hours of training, not after."""
    from edgekit.networks.efficientnet.architecture import build_graph
    from edgekit.networks.passes import expand_activations

    graph = expand_activations(build_graph(spec, resolution=resolution, seed=None))
    for target in targets:
        target.prepare(graph)


def _repair(
    options: BuildOptions, threads: int, mixed: bool, ranges: QuantizedNetwork
) -> QuantizedNetwork:
    """What repairs the network of the ranges, or that stage itself."""
    device = options.torch_device
    if options.quantize == "auto":
        budget = options.budget or 0.0
        return SearchWithinBudget(
            quantized=ranges, max_drop=budget, mixed=mixed, device=device, threads=threads
        )
    if options.quantize == "ranges":
        return ranges
    kept, source = options.keep_float, options.bias_from
    return CorrectBiases(quantized=ranges, keep_float=kept, source=source, device=device)


def _train_quantized(options: BuildOptions, quantized: QuantizedNetwork) -> TrainQuantized:
    on_calibration = options.distill_only and options.calibration is not None
    recipe = make_qat_recipe(options)
    return TrainQuantized(
        quantized=quantized, recipe=recipe, on_calibration=on_calibration, engine=options
    )


def _make_scheme(options: BuildOptions, quantized: QuantizedNetwork, scheme: str) -> MakeScheme:
    source = {"ranges": None, "auto": "photos"}.get(options.quantize, options.bias_from)
    return MakeScheme(
        quantized=quantized,
        scheme=scheme,
        source=source,
        thorough=options.quantize == "auto",
        device=options.torch_device,
    )


def _measure(files: Iterable[ModelFile], threads: int) -> list[Stage]:
    """What is measured on each file: answers and latency."""
    return [
        stage
        for file in files
        for stage in (
            EvaluateFile(converted=file, threads=threads),
            Bench(converted=file, threads=threads),
        )
    ]


def _simulate(
    executions: Sequence[Execution], files: Mapping[str, ModelFile], limit: int
) -> dict[str, Stage]:
    """What chips' own arithmetic makes of files, and the reference that it is held against."""
    if not executions:
        return {}
    reference = EvaluateReference(converted=files["w8a8"], limit=limit)
    stages: list[Stage] = [reference]
    for execution in executions:
        exact = execution.exact and execution.most is None
        stages.append(
            Simulate(
                converted=files[execution.of],
                execution=execution,
                limit=min(limit, execution.most or limit),
                reference=reference if exact else None,
            )
        )
    return _by_name(stages)


def _roles(executions: Sequence[Execution]) -> dict[str, Execution]:
    return {f"run {execution.row}": execution for execution in executions}


def _by_name(stages: Iterable[Stage]) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages}
