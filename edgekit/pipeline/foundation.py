"""The stages that every run begins with: photos, weights, training, and what it has learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.data.splits import fingerprint
from edgekit.data.unlabelled import fingerprint_unlabelled
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.options.build import BuildOptions
from edgekit.options.recipes import make_recipe, make_teacher
from edgekit.pipeline.engine import deciding, make_engine, share_of_cores
from edgekit.pipeline.stage import Stage, StageStore
from edgekit.pipeline.stages import convert as steps
from edgekit.pipeline.stages import evaluate as evaluation
from edgekit.pipeline.stages.weights import Start, find_start, prepare
from edgekit.system.host import installed
from edgekit.training.recipe import Recipe, StudentRecipe

if TYPE_CHECKING:
    from edgekit.training.world import World

#: Input side for the built-in shapes: enough for them, and quick to learn from.
BUILTIN_RESOLUTION = 64


@dataclass
class Layout:
    """The stages of a run while they are laid out.

    Attributes:
        store: where they lie.
        stages: so far, by role.
    """

    store: StageStore
    stages: dict[str, Stage] = field(default_factory=dict)

    def add(
        self, role: str, name: str, work: Any, needs: tuple[str, ...] = (), **reads: Any
    ) -> Path:
        """Lays out a stage after those that it needs, by role; returns its folder."""
        self.stages[role] = Stage(name, reads, tuple(self.stages[need] for need in needs), work)
        return self.store.folder(self.stages[role])


@dataclass(frozen=True)
class Foundation:
    """What the first stages leave to those after them.

    Attributes:
        spec: the variant.
        recipe: of the training; with 0 epochs there is no training stage.
        resolution: side of the input in pixels.
        threads: CPU threads of a process.
        start: the weights that it starts from.
        data: folder of the photos' stage.
        weights: of the weights that training starts from.
        model: of the network that is converted.
        trained: the role of the stage that made it.
    """

    spec: ModelSpec
    recipe: Recipe
    resolution: int
    threads: int
    start: Start
    data: Path
    weights: Path
    model: Path
    trained: str


def lay_foundation(
    layout: Layout,
    options: BuildOptions,
    *,
    world: World | None = None,
    warn: Callable[[str], None] | None = None,
) -> Foundation:
    """Lays out ``data``, ``weights``, ``train`` (unless there are no epochs).

    Args:
        layout: gets the stages.
        options: of the run.
        world: the processes that train together.
        warn: told what training has to say.

    Raises:
        UsageError: the model, a path or a value cannot be used.
    """
    spec, start = options.spec, find_start(options)
    recipe = make_recipe(options)
    builtin = options.data is None
    resolution = options.resolution or (BUILTIN_RESOLUTION if builtin else spec.resolution)
    crop = options.crop or (1.0 if builtin else None)
    threads = options.threads or share_of_cores(world)
    more: dict[str, Any] = {}
    if options.unlabelled is not None:
        more = {"unlabelled": fingerprint_unlabelled(options.unlabelled)}
    data = layout.add(
        "data",
        "data",
        partial(steps.data, options=options, resolution=resolution),
        photos=fingerprint(options.data, options.val, options.calibration),
        **more,
        calibration_count=options.calibration_count,
        seed=options.seed,
        # Photos on disk keep their size; the built-in ones are drawn at the network's.
        resolution=resolution if builtin else None,
    )
    weights = model = layout.add(
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
        trained = "train"
        engine = partial(make_engine, options, world)
        teacher = make_teacher(options, recipe) if isinstance(recipe, StudentRecipe) else None
        work = partial(
            steps.train,
            data=data,
            weights=weights,
            recipe=recipe,
            teacher=teacher,
            engine=engine,
            warn=warn,
        )
        reads = {"recipe": asdict(recipe), "torch": installed("torch"), **deciding(options)}
        if teacher:
            reads["teacher"] = asdict(teacher)
        model = layout.add("train", "train", work, ("weights",), **reads)
    return Foundation(spec, recipe, resolution, threads, start, data, weights, model, trained)


def add_float_row(layout: Layout, base: Foundation, device: str) -> None:
    """Lays out ``evaluate fp32-torch``: the network as trained, on the validation photos."""
    work = partial(
        evaluation.evaluate_torch,
        data=base.data,
        weights=base.weights,
        model=base.model,
        device=device,
    )
    layout.add("evaluate fp32-torch", "evaluate fp32-torch", work, (base.trained,))
