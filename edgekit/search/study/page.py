"""``report.html`` of a search: the front, the networks on it, and what the choices were worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.report import html
from edgekit.report.document import write_text
from edgekit.search.study.drawings import draw_front, draw_importance, draw_network
from edgekit.search.study.results import Results, rows_to_show
from edgekit.search.study.settings import Settings
from edgekit.system import text as fmt
from edgekit.version import __version__

if TYPE_CHECKING:
    from markupsafe import Markup

    from edgekit.search.study.trials import Trial

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """A network on the page.

    Attributes:
        name: ``found-12``.
        marks: what it is beside one of the front.
        trial: it.
        stages: its strings.
        blocks: their drawing.
    """

    name: str
    marks: str
    trial: Trial
    stages: tuple[str, ...]
    blocks: Markup


def write_page(results: Results, settings: Settings, path: Path) -> None:
    """Writes the page, which needs neither a network, nor a script, nor a server.

    Raises:
        EdgekitError: the file cannot be written.
    """
    write_text(path, render(results, settings))


def render(results: Results, settings: Settings) -> str:
    """Returns the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([FOLDER, html.FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=fmt.percent, seconds=fmt.seconds)
    return environment.get_template("page.html.j2").render(
        version=__version__,
        settings=settings,
        objective=settings.objective,
        results=results,
        verdict=verdict(results, settings),
        trained=[trial for trial in results.trials if trial.accuracy is not None],
        skipped=[trial for trial in results.trials if trial.problem is not None],
        longer=results.has_longer,
        seconds=sum(trial.seconds or 0.0 for trial in _all(results)),
        front=draw_front(
            _points(results.trials),
            _points(results.compared),
            [trial.name for trial in results.front],
            None if results.base is None else results.base.name,
            settings.objective.target,
            settings.objective.cost,
            _points(results.beside),
        ),
        importance=draw_importance(results.importance),
        networks=_networks(results, settings),
    )


def verdict(results: Results, settings: Settings) -> str:
    """The best network beside the base, in a sentence."""
    best, base = results.best, results.base
    if best is None:
        return "No network was trained to its end."
    said = (
        f"{best.name} has {fmt.percent(best.accuracy)} % at {best.cost or 0:,.0f} "
        f"{settings.objective.cost}"
    )
    if base is None or base.of == best.of:
        return f"{said}: nothing that was tried is better than the base." if base else f"{said}."
    return (
        f"{said}; the base, {settings.base_name}, {fmt.percent(base.accuracy)} % at "
        f"{base.cost or 0:,.0f}."
    )


def _all(results: Results) -> tuple[Trial, ...]:
    return (*results.trials, *results.finalists, *results.beside)


def _points(trials: tuple[Trial, ...]) -> list[tuple[str, float, float]]:
    return [
        (trial.name, trial.accuracy, trial.cost or 0.0)
        for trial in trials
        if trial.accuracy is not None
    ]


def _networks(results: Results, settings: Settings) -> list[Shown]:
    found = []
    for trial, marks in rows_to_show(results, settings):
        stages = settings.spec_of(trial).scaled_stages()
        texts = tuple(map(str, stages))
        found.append(Shown(trial.name, marks, trial, texts, draw_network(texts)))
    return found
