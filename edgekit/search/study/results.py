"""What a search found: the best network, those that nothing beats, and how sure the order is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from edgekit.search.study.objective import front
from edgekit.search.study.settings import Settings
from edgekit.search.study.store import Store
from edgekit.search.study.trials import BESIDE, LONG, SHORT, Trial
from edgekit.system.extras import import_optional

SCHEMA_VERSION = 1
#: What networks of others are beside those of the space.
OTHERS = "beside"


@dataclass(frozen=True)
class Ranking:
    """How well short trainings rank networks, beside longer ones of the same.

    Attributes:
        kendall_tau: from -1 to 1; 0 where short trainings say nothing.
        n: networks that were trained both ways.
    """

    kendall_tau: float
    n: int


@dataclass(frozen=True)
class Results:
    """Of a search.

    Attributes:
        trials: of short trainings, in order.
        finalists: of longer ones.
        best: the highest reward, of the longer trainings if there are any.
        front: those of ``compared`` that none beats in accuracy and in cost, by cost.
        ranking: None where fewer than two networks were trained both ways, or all came out alike.
        importance: of the choices; see `Store.importance`.
        beside: networks of others, trained as the compared ones are.
    """

    trials: tuple[Trial, ...]
    finalists: tuple[Trial, ...]
    best: Trial | None
    front: tuple[Trial, ...]
    ranking: Ranking | None
    importance: Mapping[str, float] = field(default_factory=dict)
    beside: tuple[Trial, ...] = ()

    @property
    def compared(self) -> tuple[Trial, ...]:
        """Those among which the best is: trained for longer, if any is."""
        among = self.finalists if self.has_longer else self.trials
        return tuple(trial for trial in among if trial.accuracy is not None)

    @property
    def has_longer(self) -> bool:
        """Whether a network was trained for longer."""
        return any(trial.accuracy is not None for trial in self.finalists)

    @property
    def base(self) -> Trial | None:
        """The base with the target's cost, trained alike."""
        return next((trial for trial in self.compared if trial.of == 0), None)


def rows_to_show(results: Results, settings: Settings) -> list[tuple[Trial, str]]:
    """The front, the best and the base, by cost; of a listed space all, the best first; others.

    Returns:
        Each with its part beside the front, and with what was picked in a listed space.
    """
    marks = {"best": results.best, "base": results.base}

    def words(trial: Trial) -> str:
        said = [word for word, one in marks.items() if one and one.of == trial.of]
        picked = trial.picks.values() if settings.space.is_listed else ()
        return ", ".join([*said, *map(str, picked)])

    if settings.space.is_listed:
        compared = {trial.of: trial for trial in (*results.trials, *results.finalists)}
        found = [trial for trial in compared.values() if trial.accuracy is not None]
        found.sort(key=lambda trial: -(trial.reward or 0.0))
    else:
        chosen = (*results.front, *filter(None, marks.values()))
        found = sorted(
            {trial.of: trial for trial in chosen}.values(), key=lambda trial: trial.cost or 0.0
        )
    others = [(trial, OTHERS) for trial in results.beside if trial.accuracy is not None]
    return [(trial, words(trial)) for trial in found] + others


def gather(store: Store, settings: Settings) -> Results:
    """Reads what all processes of a search have found so far."""
    trials, finalists = tuple(store.trials(SHORT)), tuple(store.trials(LONG))
    ranking = _rank(trials, finalists)
    beside = tuple(store.trials(BESIDE))
    found = Results(trials, finalists, None, (), ranking, store.importance(), beside)
    compared = found.compared
    best = max(compared, key=lambda trial: trial.reward or 0.0, default=None)
    places = front([(trial.accuracy or 0.0, trial.cost or 0.0) for trial in compared])
    return replace(found, best=best, front=tuple(compared[place] for place in places))


def _rank(trials: tuple[Trial, ...], finalists: tuple[Trial, ...]) -> Ranking | None:
    both = [
        (trials[trial.of].accuracy, trial.accuracy)
        for trial in finalists
        if trial.accuracy is not None and trials[trial.of].accuracy is not None
    ]
    if len(both) < 2:
        return None
    stats = import_optional("scipy.stats", "search", "a search")
    tau = float(stats.kendalltau(*zip(*both, strict=True)).statistic)
    return Ranking(tau, len(both)) if isfinite(tau) else None  # all are equal


def to_dict(results: Results, settings: Settings) -> dict[str, Any]:
    """All of it as JSON values."""

    def row(trial: Trial) -> dict[str, Any]:
        spec = settings.spec_of(trial) if trial.picks or trial in results.beside else None
        return {
            "number": trial.number,
            "of": trial.of,
            "name": trial.name,
            "cost": trial.cost if trial.cost is not None and isfinite(trial.cost) else None,
            "accuracy": trial.accuracy,
            "reward": trial.reward,
            "seconds": trial.seconds,
            "problem": trial.problem,
            "picks": dict(trial.picks),
            "stages": list(spec.stages) if spec else [],
        }

    return {
        "schema_version": SCHEMA_VERSION,
        "settings": settings.to_dict(),
        "trials": [row(trial) for trial in results.trials],
        "finalists": [row(trial) for trial in results.finalists],
        "beside": [row(trial) for trial in results.beside],
        "best": None if results.best is None else results.best.of,
        "base": None if results.base is None else results.base.of,
        "front": [trial.of for trial in results.front],
        "importance": dict(results.importance),
        "ranking": None if results.ranking is None else {**vars(results.ranking)},
    }
