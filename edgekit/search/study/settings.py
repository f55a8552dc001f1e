"""What a search was asked for: written once, and read by every process that takes part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.origin import origin_of, spec_in
from edgekit.networks.efficientnet.scaling import RESOLUTIONS
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec
from edgekit.options.build import BuildOptions
from edgekit.options.recipes import make_recipe
from edgekit.search.study.costing import HERE, Place
from edgekit.search.study.objective import Objective
from edgekit.search.study.space import SPACES, Space, find_space
from edgekit.search.study.trials import Trial
from edgekit.system.files import read_json, write_json

SETTINGS = "study.json"
SCHEMA_VERSION = 1
SAMPLERS = ("tpe", "nsga2", "random")
#: A search trains for a part of the recipe's epochs, and the best of it for all of them.
PART = 3
#: Fields that are no JSON values themselves.
_RECORDS = ("objective", "place", "beside")


@dataclass(frozen=True)
class Settings:
    """A search.

    Attributes:
        kind: of the space.
        base: what the space is laid around, as it was asked for.
        near: the base with about the target's cost.
        resolution: side of the input in pixels, where the space does not choose it.
        objective: what is made large.
        trials: networks that are trained.
        epochs: of each.
        finalists: the best of them, which are trained again for longer.
        final_epochs: of these.
        sampler: one of `SAMPLERS`.
        seed: of the sampler and of every training.
        options: of every training, fields of `BuildOptions`.
        data: fingerprint of the photos.
        classes: how many logits the networks have.
        place: where latency is of.
        beside: networks of others with about the target's cost, which are trained as well.
        short_resolution: side in pixels of the input in short trainings; None for the network's
            own. Where the space chooses sides, theirs are smaller by as much as the base's.
    """

    kind: str
    base: ModelSpec
    near: ModelSpec
    resolution: int
    objective: Objective
    trials: int
    epochs: int
    finalists: int
    final_epochs: int
    sampler: str
    seed: int
    options: Mapping[str, Any]
    data: str
    classes: int
    place: Place = HERE
    beside: tuple[ModelSpec, ...] = ()
    short_resolution: int | None = None

    def __post_init__(self) -> None:
        limits = {
            "--trials": (self.trials, 2),
            "--epochs": (self.epochs, 1),
            "--finalists": (self.finalists, 0),
            "--final-epochs": (self.final_epochs, 1),
        }
        for name, (value, least) in limits.items():
            if value < least:
                raise UsageError(f"{name} must be at least {least}, not {value}")
        short, (least, _) = self.short_resolution, RESOLUTIONS
        if short is not None and not least <= short <= self.resolution:
            raise UsageError(
                f"--short-resolution must be from {least} to {self.resolution}, not {short}"
            )

    @property
    def space(self) -> Space:
        """The networks."""
        return find_space(self.kind, self.near, self.objective, self.classes)

    @property
    def networks(self) -> int:
        """How many are trained; a space may have fewer than there are to be trials."""
        return min(self.trials, self.space.size)

    @property
    def base_name(self) -> str:
        """What the network is called that the others are compared with."""
        return f"{self.near.name}{SPACES[self.kind].base_words}"

    def spec_of(self, trial: Trial) -> ModelSpec:
        """The network of a trial."""
        if not trial.picks:
            return self.beside[trial.of]
        return self.space.spec(trial.picks, trial.name)

    def side_of(self, spec: ModelSpec) -> int:
        """The side of a network's input, in pixels."""
        return spec.resolution if SPACES[self.kind].has_sides else self.resolution

    def short_side_of(self, spec: ModelSpec) -> int:
        """The side of a network's input in its short training, in pixels."""
        side = self.side_of(spec)
        if self.short_resolution is None:
            return side
        smaller = round(side * self.short_resolution / self.resolution / 8) * 8
        return min(side, max(RESOLUTIONS[0], smaller))

    @property
    def family(self) -> str:
        """The variant that files of networks set out from."""
        return self.base.name if self.base.name in SPECS else "b0"

    def training(
        self, model: Path, side: int, epochs: int, out: Path, threads: int | None = None
    ) -> BuildOptions:
        """The options of one network's training."""
        options = {**self.options, "epochs": epochs, "out": out, "seed": self.seed}
        options |= {"threads": threads, "resolution": side}
        return BuildOptions.make(str(model), weights="none", targets=["tflite"], **options)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        networks = {name: origin_of(getattr(self, name)) for name in ("base", "near")}
        return {
            "schema_version": SCHEMA_VERSION,
            **{k: v for k, v in vars(self).items() if k not in (*networks, *_RECORDS)},
            **networks,
            "objective": self.objective.to_dict(),
            "place": {**vars(self.place)},
            "options": dict(self.options),
            "beside": [origin_of(spec) for spec in self.beside],
        }

    def save(self, folder: Path) -> None:
        """Writes them into the folder of the search."""
        write_json(folder / SETTINGS, self.to_dict())

    @classmethod
    def load(cls, folder: Path) -> Settings:
        """Reads those of a search.

        Raises:
            UsageError: the folder has none.
        """
        path = folder / SETTINGS
        try:
            record = read_json(path)
            fields = {
                **record,
                "objective": Objective(**record["objective"]),
                "place": Place(**record["place"]),
            }
            if fields.pop("schema_version") != SCHEMA_VERSION:
                raise UsageError(f"{path} is of another version", hint="edgekit search again")
            fields["beside"] = tuple(spec_in(one) for one in fields.get("beside", ()))
            for name in ("base", "near"):
                fields[name] = spec_in(fields[name])
            return cls(**fields)
        except OSError as error:
            raise UsageError(
                f"{folder} holds no search",
                cause=error.strerror,
                hint="edgekit search --out FOLDER",
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is damaged", cause=str(error)) from error

    def refuse_others(self, found: Settings, folder: Path) -> None:
        """Raises UsageError where a folder's search is another than this."""
        mine, its = self._identity(), found._identity()
        for name, value in mine.items():
            if value == its[name]:
                continue
            shown = f"{its[name]} there, {value} here"
            raise UsageError(
                f"{folder} holds a search with {'other' if name == 'photos' else 'another'} {name}",
                cause=None if name == "photos" else shown,
                hint="another --out, or the options of that one",
            )

    def _identity(self) -> dict[str, Any]:
        """What makes two searches the same; there may be more trials in one."""
        objective = self.objective
        return {
            "photos": self.data,
            "space": self.kind,
            "model": self.base.name,
            "resolution": self.resolution,
            "objective": f"{objective.target:,} {objective.cost} "
            f"({objective.below:g}, {objective.above:g})",
            "place": self.place.device or self.place.target,
            "number of epochs": self.epochs,
            "number of final epochs": self.final_epochs,
            "short resolution": self.short_resolution,
            "sampler": self.sampler,
            "seed": self.seed,
            "networks beside it": ", ".join(spec.name for spec in self.beside),
            "network": origin_of(self.base),  # of one name: a file that was changed
        }

    def enlarged(self, other: Settings) -> Settings:
        """The same search with as many trials as another asks for."""
        return replace(self, trials=other.trials, finalists=other.finalists)


def usual_epochs(options: BuildOptions) -> tuple[int, int]:
    """Epochs of a trial and of a finalist, where nothing is said."""
    whole = make_recipe(options).epochs
    return max(1, round(whole / PART)), whole


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON values; what is not given is left out."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in options.items() if v is not None}
