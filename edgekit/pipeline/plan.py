"""Which stages a build has, and what each of them reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.data import fingerprint
from edgekit.options import BuildOptions
from edgekit.pipeline import repair, steps
from edgekit.pipeline.stage import Stage, StageStore
from edgekit.pipeline.weights import Start, find_start, prepare
from edgekit.recipe import Recipe
from edgekit.report.host import installed, usable_cores
from edgekit.spec import ModelSpec

#: Input side for the built-in shapes: enough for them, and quick to learn from.
BUILTIN_RESOLUTION = 64
#: Enough to learn the built-in shapes from random weights in a few minutes on two cores.
BUILTIN_EPOCHS = 7


@dataclass(frozen=True)
class Plan:
    """The stages of a build, in order, and the names by which others find them.

    Attributes:
        spec: the variant.
        recipe: of the training; with 0 epochs there is no training stage.
        resolution: side of the input in pixels.
        threads: CPU threads.
        start: the weights that it starts from.
        stages: by role; see `make_plan` for the roles.
    """

    spec: ModelSpec
    recipe: Recipe
    resolution: int
    threads: int
    start: Start
    stages: dict[str, Stage]


def make_recipe(options: BuildOptions) -> Recipe:
    """The training recipe that the options ask for."""
    epochs = options.epochs
    builtin = options.data is None
    fine_tuning = options.start != "none"
    if epochs is None and builtin and not fine_tuning:
        epochs = BUILTIN_EPOCHS
    # A shape is where its outline is; a small crop of it is no shape.
    min_crop_area = options.min_crop_area or (0.7 if builtin else 0.3)
    return Recipe.default(
        fine_tuning=fine_tuning,
        epochs=epochs,
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        warmup_epochs=options.warmup_epochs,
        weight_decay=options.weight_decay,
        label_smoothing=options.label_smoothing,
        ema_decay=options.ema_decay,
        min_crop_area=min_crop_area,
        flip=options.flip,
        seed=options.seed,
    )


def make_plan(options: BuildOptions, store: StageStore) -> Plan:
    """Lays out a build without running any of it.

    Roles: ``data``, ``weights``, ``train`` (unless there are no epochs), ``fp32``,
    ``calibrate``, ``quantize``, ``repair`` (unless ranges are all that is asked for), ``w8a8``,
    then ``evaluate ROW`` and ``bench FILE``.

    Raises:
        UsageError: the model, a path or a value cannot be used.
    """
    spec, start = options.spec, find_start(options)
    recipe = make_recipe(options)
    builtin = options.data is None
    resolution = options.resolution or (BUILTIN_RESOLUTION if builtin else spec.resolution)
    crop = options.crop or (1.0 if builtin else None)
    threads = options.threads or usable_cores()
    stages: dict[str, Stage] = {}

    def add(role: str, name: str, work: Any, needs: tuple[str, ...] = (), **reads: Any) -> Path:
        stages[role] = Stage(name, reads, tuple(stages[need] for need in needs), work)
        return store.folder(stages[role])

    data = add(
        "data",
        "data",
        partial(steps.data, options=options, resolution=resolution),
        photos=fingerprint(options.data, options.val, options.calibration),
        calibration_count=options.calibration_count,
        seed=options.seed,
        # Photos on disk keep their size; the built-in ones are drawn at the network's.
        resolution=resolution if builtin else None,
    )
    weights = model = add(
        "weights",
        "weights",
        partial(
            prepare,
            data=data,
            spec=spec,
            resolution=resolution,
            crop=crop,
            start=start,
            seed=options.seed,
        ),
        needs=("data",),
        spec=asdict(spec),
        resolution=resolution,
        crop=crop,
        file=start.hash(),
        source=start.source,
        seed=options.seed,
    )
    trained = "weights"
    if recipe.epochs:
        work = partial(
            steps.train, data=data, weights=weights, recipe=recipe, device=options.device
        )
        trained = "train"
        model = add(
            "train", "train", work, ("weights",), recipe=asdict(recipe), torch=installed("torch")
        )
    writer = tensorflow_version()
    fp32 = add(
        "fp32",
        f"convert {steps.FP32}",
        partial(steps.convert_float, weights=weights, model=model, head=options.head),
        (trained,),
        head=options.head,
        tensorflow=writer,
    )
    calibration = add(
        "calibrate",
        "calibrate",
        partial(steps.calibrate, data=data, weights=weights, model=model, head=options.head),
        (trained,),
        head=options.head,
        method=steps.INPUT_METHOD,
        record=2,  # of the histograms and warnings
    )
    quantized = add(
        "quantize",
        f"quantize {steps.W8A8}",
        partial(steps.quantize, calibration=calibration, method=options.ranges),
        ("calibrate",),
        method=options.ranges,
    )
    finished = "quantize"
    if options.quantize != "ranges":
        finished = "repair"
        quantized = add_repair(options, add, data, weights, model, calibration, quantized, threads)
    w8a8 = add(
        "w8a8",
        f"convert {steps.W8A8}",
        partial(
            steps.convert_int8,
            weights=weights,
            calibration=calibration,
            quantized=quantized,
            io=options.io,
        ),
        (finished,),
        io=options.io,
        tensorflow=writer,
    )
    common: dict[str, Any] = {"data": data, "weights": weights}
    torch_row = partial(steps.evaluate_torch, **common, model=model, device=options.device)
    rows = {**common, "model": model, "head": options.head}
    add("evaluate fp32-torch", "evaluate fp32-torch", torch_row, (trained,))
    simulation = partial(
        steps.evaluate_simulation,
        **rows,
        calibration=calibration,
        quantized=quantized,
        device=options.device,
    )
    add("evaluate w8a8-sim", "evaluate w8a8-sim", simulation, (finished,))
    runtime = installed("ai-edge-litert")
    for role, folder in (("fp32", fp32), ("w8a8", w8a8)):
        on_file: dict[str, Any] = {"converted": folder, "threads": threads}
        name = f"evaluate {role}-tflite"
        add(name, name, partial(steps.evaluate_tflite, **rows, **on_file), (role,), litert=runtime)
        name = f"bench {role}-tflite"
        add(
            name,
            name,
            partial(steps.bench, **common, **on_file),
            (role,),
            litert=runtime,
            threads=threads,
        )
    return Plan(spec, recipe, resolution, threads, start, stages)


def add_repair(
    options: BuildOptions,
    add: Any,
    data: Path,
    weights: Path,
    model: Path,
    calibration: Path,
    quantized: Path,
    threads: int,
) -> Path:
    """Adds the stage that mends what ranges alone lose; returns its folder."""
    folders: dict[str, Any] = {
        "data": data,
        "weights": weights,
        "calibration": calibration,
        "quantized": quantized,
    }
    folder: Path
    if options.quantize == "ptq":
        work = partial(repair.correct, **folders, device=options.device)
        folder = add("repair", "correct biases", work, ("quantize",))
        return folder
    work = partial(
        repair.climb,
        **folders,
        model=model,
        head=options.head,
        max_drop=options.budget or 0.0,
        device=options.device,
        threads=threads,
        seed=options.seed,
    )
    folder = add("repair", "climb to the budget", work, ("quantize",), max_drop=options.budget)
    return folder


def tensorflow_version() -> str | None:
    """The installed TensorFlow's version, found without importing it."""
    return installed("tensorflow-cpu") or installed("tensorflow")
