"""Trials of a search: what is known of a network, what is tried first, and what goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from edgekit.search.study.choices import Picks
from edgekit.search.study.space import Space

#: Of the studies in the journal: short trainings, longer ones of the best, and networks of others.
SHORT, LONG, BESIDE = "short", "long", "beside"
#: A parameter of the other studies: the number of a trial of the first, or of a network of others.
OF = "of"
#: Attributes of a trial.
ACCURACY, COST, REWARD, SECONDS, PROBLEM = "accuracy", "cost", "reward", "seconds", "problem"


#: A cost that is infinite, for whom that is no number.
LARGEST = 1e30


@dataclass(frozen=True)
class Trial:
    """A network in a search.

    Attributes:
        number: in its study.
        picks: of the space.
        cost: in the objective's unit.
        accuracy: a fraction; None while it trains, and where it was not trained.
        reward: of the objective, likewise.
        seconds: of its training, all processes' together.
        problem: why it was not trained to its end, or at all; None where it was.
        of: in the second study, the number of the network's trial in the first; of networks of
            others their place among them; else its own number.
        name: of its network, and of that network's file.
    """

    number: int
    picks: Picks
    cost: float | None
    accuracy: float | None
    reward: float | None
    seconds: float | None
    problem: str | None
    of: int
    name: str


#: What the proposals of a study are to make large or small: how, and its value of a trial.
AIMS: dict[str, tuple[str, Callable[[Trial], float]]] = {
    REWARD: ("maximize", lambda trial: trial.reward or 0.0),
    ACCURACY: ("maximize", lambda trial: trial.accuracy or 0.0),
    COST: ("minimize", lambda trial: min(trial.cost or LARGEST, LARGEST)),
}
#: By the sampler. NSGA-II is of several aims: its networks lie along the front.
AIMED_AT = {"tpe": (REWARD,), "random": (REWARD,), "nsga2": (ACCURACY, COST)}


def first_picks(space: Space, seed: int) -> list[Picks]:
    """What is tried before anything is proposed: the base; of a listed space everything.

    The others of a list come in an order of chance, so that those of a search that is stopped, or
    has fewer trials, lie all over it.
    """
    own = space.of_base()
    if own is None:
        return []
    first = {choice.name: own[choice.name] for choice in space.choices}
    if not space.is_listed:
        return [first]
    (choice,) = space.choices
    others = [value for value in choice.values if value != own[choice.name]]
    Random(seed).shuffle(others)
    return [first, *({choice.name: value} for value in others)]


def finalists(trials: list[Trial], count: int) -> list[int]:
    """The numbers of those that are trained for longer: the best, and the base, which is first."""
    ranked = sorted(
        (trial for trial in trials if trial.reward is not None and trial.problem is None),
        key=lambda trial: (-(trial.reward or 0.0), trial.number),
    )
    numbers = [trial.number for trial in ranked[:count]]
    base = [0] if count and any(trial.number == 0 for trial in ranked) else []
    return list(dict.fromkeys([*numbers, *base]))
