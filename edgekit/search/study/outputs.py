"""What a search writes of its results: ``search.json``, ``best.toml`` and ``report.html``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgekit.networks.efficientnet.model_files import write_model
from edgekit.search.study.page import write_page
from edgekit.search.study.results import Results, to_dict
from edgekit.search.study.settings import Settings
from edgekit.search.study.trials import Trial
from edgekit.system.files import write_json
from edgekit.system.paths import StrPath

BEST, SEARCH, REPORT = "best.toml", "search.json", "report.html"


def write_results(results: Results, settings: Settings, folder: StrPath) -> None:
    """Writes ``search.json``, and ``best.toml`` and the page where a network was trained."""
    folder = Path(folder)
    write_json(folder / SEARCH, to_dict(results, settings))
    if results.best is not None:
        best = results.best
        spec = settings.spec_of(best)
        write_model(
            replace(spec, resolution=settings.side_of(spec)),
            folder / BEST,
            base=settings.family,
            comment=_history(best, results, settings),
        )
        write_page(results, settings, folder / REPORT)


def _history(best: Trial, results: Results, settings: Settings) -> str:
    """What is said of the network in its file."""
    spec = settings.spec_of(best)
    objective = settings.objective
    epochs = settings.final_epochs if results.has_longer else settings.epochs
    lines = [
        f"Found by edgekit search in the space {settings.kind} around {settings.base.name}, as "
        f"network {best.of} of {len(results.trials)}.",
        f"{objective.cost}: {best.cost:,.0f} at {settings.side_of(spec)} px "
        f"(wanted: {objective.target:,}).",
        f"Accuracy: {best.accuracy:.4f} after {epochs} epochs.",
    ]
    if results.base is not None and results.base.of != best.of:
        base = results.base
        lines.append(
            f"{settings.base_name}: {base.accuracy:.4f} at {base.cost:,.0f}, trained alike."
        )
    return "\n".join(lines)
