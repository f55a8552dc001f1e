"""The trials of a search in a journal that processes and machines share: who trains what.

Optuna proposes networks and keeps what came of them; its journal is one file, which may lie on a
file system that machines share. A trial belongs to the process that holds its lock. What a process
leaves behind when it is killed is taken by the next one, with its checkpoint.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.search.study.choices import Picks
from edgekit.search.study.settings import Settings
from edgekit.search.study.trials import (
    ACCURACY,
    AIMED_AT,
    AIMS,
    BESIDE,
    COST,
    LONG,
    OF,
    PROBLEM,
    REWARD,
    SECONDS,
    SHORT,
    Trial,
    finalists,
    first_picks,
)
from edgekit.system.extras import import_optional

JOURNAL, LOCK, WORKERS = "journal.log", "study.lock", "workers"
#: Networks that are too large are left out at once; more than that in a row is no space to search.
MOST_SKIPPED = 500
#: A problem of a network.
TOO_MUCH = "it costs too much"
#: Networks from which on it is said what choices are worth.
ENOUGH = 10


@dataclass(frozen=True)
class Claim:
    """A trial that this process trains.

    Attributes:
        trial: it.
        is_resumed: whether another process had begun it.
    """

    trial: Trial
    is_resumed: bool


class Store:
    """The journal of a search.

    Args:
        folder: of the search; exists.
        settings: of the search.
        cost_of: gives what a network costs.

    Raises:
        MissingToolError: Optuna is not installed.
    """

    def __init__(
        self, folder: Path, settings: Settings, cost_of: Callable[[ModelSpec], float]
    ) -> None:
        self.optuna = import_optional("optuna", "search", "a search")
        self.optuna.logging.set_verbosity(self.optuna.logging.ERROR)
        self.folder, self.settings, self.cost_of = folder, settings, cost_of
        self._held: dict[tuple[str, int], FileLock] = {}
        journal = import_optional("optuna.storages.journal", "search")
        with _quiet():
            self.storage = self.optuna.storages.JournalStorage(
                journal.JournalFileBackend(str(folder / JOURNAL))
            )
        with self.locked():
            worker = self._count_workers()
            self.studies = {
                SHORT: self._open(SHORT, self._sampler(worker)),
                LONG: self._open(LONG, self.optuna.samplers.RandomSampler(seed=0)),
                BESIDE: self._open(BESIDE, self.optuna.samplers.RandomSampler(seed=0)),
            }
            if not self.studies[SHORT].trials:
                for picks in first_picks(settings.space, settings.seed):
                    self.studies[SHORT].enqueue_trial(picks)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While one process changes who trains what, others wait."""
        with FileLock(self.folder / LOCK):
            yield

    def trials(self, study: str = SHORT) -> list[Trial]:
        """All trials but those that wait, in order."""
        waiting = self.optuna.trial.TrialState.WAITING
        found = self.studies[study].get_trials(deepcopy=False)
        return [self._read(study, one) for one in found if one.state != waiting]

    def claim(self) -> Claim | None:
        """A network that nobody trains and that is to be trained for a short time; None: none."""
        with self.locked():
            study = self.studies[SHORT]
            if (left := self._left_behind(SHORT)) is not None:
                return Claim(left, is_resumed=True)
            if self._is_complete():
                return None
            for _ in range(MOST_SKIPPED):
                asked = study.ask()
                picks = self._suggest(asked)
                cost = self.cost_of(self.settings.space.spec(picks, "proposed"))
                asked.set_user_attr(COST, cost)
                problem = self._problem(picks, cost, asked.number)
                if problem is None:
                    self._lock(SHORT, asked.number)
                    return Claim(self.trial(SHORT, asked.number), is_resumed=False)
                asked.set_user_attr(PROBLEM, problem)
                # One that was tried says nothing new.
                self._tell(SHORT, asked.number, problem == TOO_MUCH)
        return None

    def lay_out(self, study: str) -> int:
        """Lays out another study than the first, once; returns how many trials it has.

        Finalists are the best of the first, and the base.
        """
        with self.locked():
            if not self.studies[study].trials:
                settings = self.settings
                for number in (
                    range(len(settings.beside))
                    if study == BESIDE
                    else finalists(self.trials(), settings.finalists)
                ):
                    self.studies[study].enqueue_trial({OF: number})
            return len(self.studies[study].trials)

    def claim_next(self, name: str) -> Claim | None:
        """As `claim`, of a study that was laid out."""
        with self.locked():
            study, states = self.studies[name], self.optuna.trial.TrialState
            if (left := self._left_behind(name)) is not None:
                return Claim(left, is_resumed=True)
            if not study.get_trials(deepcopy=False, states=(states.WAITING,)):
                return None
            asked = study.ask()
            of = asked.suggest_int(OF, 0, 10**9)
            known = self.trial(SHORT, of).cost if name == LONG else None
            cost = self.cost_of(self.settings.beside[of]) if known is None else known
            asked.set_user_attr(COST, cost)
            self._lock(name, asked.number)
            return Claim(self.trial(name, asked.number), is_resumed=False)

    def is_busy(self, study: str) -> bool:
        """Whether another process trains a network of a study."""
        running = self.optuna.trial.TrialState.RUNNING
        found = self.studies[study].get_trials(deepcopy=False, states=(running,))
        return any(COST in one.user_attrs for one in found)

    def finish(self, study: str, number: int, attributes: Mapping[str, Any]) -> None:
        """Keeps what came of a trial that this process had claimed.

        Args:
            study: of the trial.
            number: of it.
            attributes: ``accuracy``, ``reward`` and ``seconds``, or ``problem``.
        """
        with self.locked():
            trial = self._trial(study, number)
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            self._tell(study, number)
            self._unlock(study, number)

    def release(self, study: str, number: int) -> None:
        """Gives a trial back that was not finished: whoever comes next goes on with it."""
        with self.locked():
            self._unlock(study, number)

    def trial(self, study: str, number: int) -> Trial:
        """A trial by its number."""
        return self._read(study, self.studies[study].get_trials(deepcopy=False)[number])

    def importance(self) -> dict[str, float]:
        """Which share of the reward's differences each choice explains, by its name.

        By PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv 2304.10255), of the networks that were
        trained. Empty where these are fewer than `ENOUGH`, or there is one choice alone.
        """
        if self.settings.space.is_listed:
            return {}
        states, study = self.optuna.trial.TrialState, self.studies[SHORT]
        found = study.get_trials(deepcopy=False, states=(states.COMPLETE,))
        trained = [one for one in found if ACCURACY in one.user_attrs]
        if len(trained) < ENOUGH:
            return {}
        with _quiet():
            copy = self.optuna.create_study(direction="maximize")
            copy.add_trials(
                [
                    self.optuna.trial.create_trial(
                        params=one.params,
                        distributions=one.distributions,
                        value=one.user_attrs[REWARD],
                    )
                    for one in trained
                ]
            )
            evaluator = self.optuna.importance.PedAnovaImportanceEvaluator()
            shares = self.optuna.importance.get_param_importances(copy, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items()}

    def _read(self, study: str, one: Any) -> Trial:
        said = one.user_attrs
        of = one.number if study == SHORT else int(one.params[OF])
        picks = one.params if study == SHORT else {}
        name = f"found-{of}"
        if study == LONG:
            picks = self.trial(SHORT, of).picks
        elif study == BESIDE:
            name = self.settings.beside[of].name
        return Trial(
            one.number,
            dict(picks),
            said.get(COST),
            said.get(ACCURACY),
            said.get(REWARD),
            said.get(SECONDS),
            said.get(PROBLEM),
            of,
            name,
        )

    def _open(self, name: str, sampler: Any) -> Any:
        with _quiet():
            return self.optuna.create_study(
                study_name=name,
                storage=self.storage,
                sampler=sampler,
                directions=[AIMS[aim][0] for aim in self._aims(name)],
                load_if_exists=True,
            )

    def _aims(self, study: str) -> tuple[str, ...]:
        return AIMED_AT[self.settings.sampler] if study == SHORT else (REWARD,)

    def _sampler(self, worker: int) -> Any:
        """Each process has numbers of its own, so that no two propose the same."""
        seed, samplers = self.settings.seed + 1000 * worker, self.optuna.samplers
        with _quiet():
            return {
                # A network that somebody trains counts as a bad one meanwhile.
                "tpe": lambda: samplers.TPESampler(
                    seed=seed, multivariate=True, constant_liar=True
                ),
                "nsga2": lambda: samplers.NSGAIISampler(seed=seed, population_size=20),
                "random": lambda: samplers.RandomSampler(seed=seed),
            }[self.settings.sampler]()

    def _count_workers(self) -> int:
        """The number of this process among all that ever took part."""
        path = self.folder / WORKERS
        before = int(path.read_text()) if path.exists() else 0
        path.write_text(str(before + 1))
        return before

    def _suggest(self, asked: Any) -> Picks:
        return {
            choice.name: asked.suggest_categorical(choice.name, list(choice.values))
            for choice in self.settings.space.choices
        }

    def _is_complete(self) -> bool:
        """Whether as many networks as are wanted were proposed, or all of a list."""
        # One that was stopped before its cost was known is no network yet.
        known = [trial for trial in self.trials() if trial.cost is not None]
        settings = self.settings
        if settings.space.is_listed and len(known) >= settings.space.size:
            return True
        return sum(trial.problem is None for trial in known) >= settings.networks

    def _problem(self, picks: Picks, cost: float, number: int) -> str | None:
        """Why a network is not trained; None where it is."""
        if self.settings.objective.is_far(cost):
            return TOO_MUCH
        return "it was tried already" if self._known(picks, number) else None

    def _known(self, picks: Picks, number: int) -> bool:
        space = self.settings.space
        made = space.spec(picks, "same")
        others = (trial for trial in self.trials() if trial.number != number)
        return any(
            trial.problem is None
            and trial.cost is not None
            and space.spec(trial.picks, "same") == made
            for trial in others
        )

    def _trial(self, study: str, number: int) -> Any:
        frozen = self.studies[study].get_trials(deepcopy=False)[number]
        return self.optuna.trial.Trial(self.studies[study], frozen._trial_id)

    def _tell(self, study: str, number: int, is_known: bool = True) -> None:
        """Ends a trial with its values, or with none where there is nothing to learn of it."""
        states, kept = self.optuna.trial.TrialState, self.studies[study]
        with _quiet():
            if not is_known:
                kept.tell(number, state=states.FAIL)
                return
            trial = self.trial(study, number)
            values = [AIMS[aim][1](trial) for aim in self._aims(study)]
            kept.tell(number, values)

    def _left_behind(self, study: str) -> Trial | None:
        """A trial that runs in no process: the one that began it was stopped. It is locked now."""
        running = self.optuna.trial.TrialState.RUNNING
        for one in self.studies[study].get_trials(deepcopy=False, states=(running,)):
            if COST in one.user_attrs and self._lock(study, one.number):
                return self._read(study, one)
        return None

    def _lock(self, study: str, number: int) -> bool:
        """Takes a trial; False where a process has it, this one included."""
        if (study, number) in self._held:
            return False
        lock = FileLock(self.folder / f"{study}-{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self._held[study, number] = lock
        return True

    def _unlock(self, study: str, number: int) -> None:
        self._held.pop((study, number)).release()
        (self.folder / f"{study}-{number}.lock").unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's warnings about what it calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
