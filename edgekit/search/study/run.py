"""A search: networks are proposed, trained for a short time, and the best of them for longer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError, DivergedError, UsageError
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.model_files import write_model
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.options.build import BuildOptions
from edgekit.search.study.costing import HERE, Costing, Place, open_costing
from edgekit.search.study.objective import Objective
from edgekit.search.study.outputs import write_results
from edgekit.search.study.results import Results, gather
from edgekit.search.study.settings import SETTINGS, Settings, plain, usual_epochs
from edgekit.search.study.space import SPACES, find_space, scaled_near
from edgekit.search.study.store import MOST_SKIPPED, Claim, Store
from edgekit.search.study.trials import BESIDE, LONG, SHORT, Trial
from edgekit.system.console import Console, NullConsole
from edgekit.system.extras import import_optional
from edgekit.system.paths import StrPath
from edgekit.system.text import percent
from edgekit.tasks.registry import find_task

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two looks at what other processes do.
PAUSE = 2.0
#: Where trainings lie in the folder of a search, and networks that were proposed.
TRAININGS, NETWORKS = "trainings", "networks"


@dataclass(frozen=True)
class Wanted:
    """A search as it is asked for; what is None has a default.

    Attributes:
        model: the network that the space is laid around.
        space: a key of `edgekit.search.study.space.SPACES`.
        objective: what is made large.
        trials: networks that are trained.
        epochs: of each.
        finalists: of the best, trained for longer.
        final_epochs: of these.
        short_resolution: side in pixels of the input in short trainings; the networks' own by
            default.
        beside: names of variants that are scaled to the same cost and trained as well.
        sampler: one of `edgekit.search.study.settings.SAMPLERS`.
        seed: of everything random.
        options: of the trainings: fields of `BuildOptions`, such as ``data``.
        place: where latency is of, if that is the cost.
    """

    model: str
    space: str
    objective: Objective
    trials: int = 30
    epochs: int | None = None
    finalists: int = 10
    final_epochs: int | None = None
    short_resolution: int | None = None
    beside: tuple[str, ...] = ()
    sampler: str = "tpe"
    seed: int = 0
    options: Mapping[str, Any] | None = None
    place: Place = HERE


def search(
    wanted: Wanted, folder: StrPath, *, console: Console | None = None, threads: int | None = None
) -> Results:
    """Searches for a network, or goes on with a search in the same folder.

    Args:
        wanted: the search.
        folder: of all that it makes: ``best.toml``, ``search.json``, every training.
        console: where progress is shown.
        threads: of this process; None for all cores.

    Raises:
        UsageError: the folder is of another search, or no network of the space costs so little.
        MissingToolError: Optuna is not installed.
        EdgekitError: a training failed otherwise than by its network.
    """
    import_optional("optuna", "search", "a search")
    folder = Path(folder)
    with open_costing(wanted.objective, wanted.place) as costing:
        return _search(wanted, folder, costing, console or NullConsole(), threads)


def _search(
    wanted: Wanted, folder: Path, costing: Costing, console: Console, threads: int | None
) -> Results:
    asked = _settle(wanted, costing)
    if (folder / SETTINGS).exists():
        found = Settings.load(folder)
        asked.refuse_others(found, folder)
        asked = found.enlarged(asked)
    elif folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} holds something else", hint="name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    asked.save(folder)
    return _Worker(asked, folder, costing, console, threads).run()


def join(folder: StrPath, *, console: Console | None = None, threads: int | None = None) -> Results:
    """Takes trials of a search that another process began; ends when there are no more.

    Raises:
        UsageError: the folder holds no search, or its photos are others here.
        EdgekitError: as of `search`.
    """
    folder = Path(folder)
    settings = Settings.load(folder)
    here = _fingerprint(settings.options)
    if here != settings.data:
        raise UsageError(
            f"the photos of {folder} are others here",
            cause="a trial would be measured on what the others were not",
            hint="the same photos under the same path, on every machine",
        )
    with open_costing(settings.objective, settings.place) as costing:
        return _Worker(settings, folder, costing, console or NullConsole(), threads).run()


def _photos(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that say what the photos are."""
    return {name: options[name] for name in ("data", "val") if name in options}


def _fingerprint(options: Mapping[str, Any]) -> str:
    from edgekit.pipeline.plan import make_training_plan

    made = BuildOptions.make("b0", weights="none", epochs=1, **_photos(options))
    data: Any = make_training_plan(made).stages["data"]
    return str(data.key)


def _classes(options: Mapping[str, Any]) -> int:
    from edgekit.data.splits import Wanted as Photos

    return len(find_task("classification").find_splits(Photos(**_photos(options))).labels)


def _settle(wanted: Wanted, costing: Costing) -> Settings:
    """The search with everything that is not said."""
    base, options = find_spec(wanted.model), plain(wanted.options or {})
    example = BuildOptions.make(wanted.model, weights="none", targets=["tflite"], **options)
    side = _side(example)
    short, whole = usual_epochs(example)
    classes = _classes(options)
    near = replace(base, resolution=side)
    # Names a wrong one before anything is computed.
    find_space(wanted.space, near, wanted.objective, classes)

    def scaled(spec: ModelSpec) -> ModelSpec:
        sized = replace(spec, resolution=side)
        return scaled_near(sized, lambda one: costing(one, side, classes), wanted.objective.target)

    if not SPACES[wanted.space].has_sides:
        near = scaled(near)
    settings = Settings(
        wanted.space,
        base,
        near,
        side,
        wanted.objective,
        wanted.trials,
        wanted.epochs or short,
        wanted.finalists,
        wanted.final_epochs or whole,
        wanted.sampler,
        wanted.seed,
        options,
        _fingerprint(options),
        classes,
        wanted.place,
        tuple(scaled(_classifier(name)) for name in wanted.beside),
        wanted.short_resolution,
    )
    smallest = settings.space.spec(settings.space.extremes()[0], "smallest")
    least = costing(smallest, settings.side_of(smallest), classes)
    if wanted.objective.is_far(least):
        raise UsageError(
            f"no network of the space has {wanted.objective.target:,} {wanted.objective.cost}",
            cause=f"the smallest has {least:,.0f}"
            if isfinite(least)
            else "the smallest needs more memory than is allowed, or the target does not take it",
            hint="allow more, or give a smaller --model or --resolution",
        )
    return settings


def _classifier(name: str) -> ModelSpec:
    spec = find_spec(name)
    if spec.decoder is not None:
        raise UsageError(f"{spec.name} is not to be compared", cause="candidates are classifiers")
    return spec


def _side(options: BuildOptions) -> int:
    """Of the input, as a training with these options has it."""
    from edgekit.pipeline.plan import make_training_plan

    return make_training_plan(options).base.resolution


@dataclass(frozen=True)
class _Worker:
    """A process that takes part in a search.

    Attributes:
        settings: of the search.
        folder: of the search.
        costing: tells what networks cost.
        console: where progress is shown.
        threads: of this process's trainings.
    """

    settings: Settings
    folder: Path
    costing: Costing
    console: Console
    threads: int | None

    def run(self) -> Results:
        """Trains what nobody else does, until the search is done.

        Raises:
            DeviceError: the device that is measured went away; the search can go on.
            EdgekitError: a training failed otherwise than by its network.
        """
        try:
            return self._run()
        except DeviceError:
            self.console.warn("the device is away: nothing is lost, and the same command goes on")
            raise

    def _run(self) -> Results:
        settings = self.settings
        store = Store(self.folder, settings, self._cost_of)
        stages = 1 + bool(settings.finalists) + bool(settings.beside)
        title = f"{settings.networks} networks, {settings.epochs} epochs"
        with self.console.stage(1, stages, title) as stage:
            self._work(store, SHORT, store.claim)
            stage.detail = _best_of(gather(store, settings))
        trained = sum(one.accuracy is not None for one in store.trials())
        if trained < settings.networks:
            self.console.warn(
                f"{trained} of {settings.networks} networks were trained: "
                f"{MOST_SKIPPED} in a row cost too much or were known already"
            )
        for place, name in enumerate(filter(self._has, (LONG, BESIDE)), 2):
            words = "of others, " * (name == BESIDE)
            title = f"{store.lay_out(name)} networks, {words}{self._epochs(name)} epochs"
            with self.console.stage(place, stages, title) as stage:
                self._work(store, name, partial(store.claim_next, name))
                stage.detail = _best_of(gather(store, settings))
        results = gather(store, settings)
        write_results(results, settings, self.folder)
        return results

    def _has(self, study: str) -> bool:
        """Whether there is anything to train in one of the other studies."""
        return bool(self.settings.finalists if study == LONG else self.settings.beside)

    def _epochs(self, study: str) -> int:
        """Of a training; those of others are compared with the longer ones, if there are any."""
        settings = self.settings
        is_short = study == SHORT or (study == BESIDE and not settings.finalists)
        return settings.epochs if is_short else settings.final_epochs

    def _cost_of(self, spec: ModelSpec) -> float:
        return float(self.costing(spec, self.settings.side_of(spec), self.settings.classes))

    def _work(self, store: Store, study: str, claim: Callable[[], Claim | None]) -> None:
        while True:
            claimed = claim()
            if claimed is None:
                if not store.is_busy(study):
                    return
                time.sleep(PAUSE)  # another process is at the last ones, or is killed at them
                continue
            number = claimed.trial.number
            done = sum(one.accuracy is not None for one in store.trials(study))
            try:
                attributes = self._train(claimed, study, done)
            except BaseException:
                store.release(study, number)
                raise
            store.finish(study, number, attributes)
            results = gather(store, self.settings)
            write_results(results, self.settings, self.folder)
            for one in results.front:
                if one.name == claimed.trial.name:
                    self.console.note(f"{self._words(one)}, on the front of {len(results.front)}")

    def _words(self, trial: Trial) -> str:
        """A trained network, its accuracy and its cost."""
        return (
            f"{trial.name}: {percent(trial.accuracy)} % at {trial.cost or 0:,.0f} "
            f"{self.settings.objective.cost}"
        )

    def _train(self, claimed: Claim, study: str, done: int) -> dict[str, Any]:
        """Trains a network; returns the attributes of its trial."""
        from edgekit.pipeline.train import run_training

        settings, trial = self.settings, claimed.trial
        model = self.folder / NETWORKS / f"{trial.name}.toml"
        model.parent.mkdir(exist_ok=True)
        spec = settings.spec_of(trial)
        write_model(spec, model, base=settings.family)
        epochs = self._epochs(study)
        out = self.folder / TRAININGS / f"{study}-{trial.number}"
        side = settings.short_side_of(spec) if study == SHORT else settings.side_of(spec)
        options = settings.training(model, side, epochs, out, self.threads)
        began = time.monotonic()
        try:
            training = run_training(options, _Within(self.console, f"{trial.name} ({done + 1})"))
        except DivergedError as error:
            return {"problem": error.message}
        if training is None:
            raise UsageError(
                "a search trains in single processes", hint="start several with --join"
            )
        accuracy = training.score
        return {
            "accuracy": accuracy,
            "reward": settings.objective.reward(accuracy, trial.cost or 1.0),
            "seconds": time.monotonic() - began,
        }


def _best_of(results: Results) -> str:
    best = results.best
    return f"best: {best.accuracy:.4f} at {best.cost:,.0f}" if best else "none was trained"


class _Within(NullConsole):
    """Of a training in a search: its progress is the search's."""

    def __init__(self, outer: Console, task: str) -> None:
        super().__init__()
        self.outer, self.task = outer, task

    def progress(
        self, task: str, done: int, total: int, note: str = "", *, stage: Any = None
    ) -> None:
        """Shows how far the training is."""
        if task == "train":
            self.outer.progress(self.task, done, total, note)
