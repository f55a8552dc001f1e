"""The model card of a run: what the hub reads of it, and what a person does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from edgekit.pipeline.push.licence import Licence
from edgekit.report.diagnosis import verdict
from edgekit.report.document import Document, task_of
from edgekit.report.markdown import escape, markdown_table
from edgekit.report.snippet import python_snippet
from edgekit.report.table import known_columns
from edgekit.system.hub.server import library
from edgekit.system.text import size

#: The ending of a file, and the tag of the runtimes that take it.
TAGS = {".tflite": "tflite", ".onnx": "onnx", ".xml": "openvino", ".safetensors": "safetensors"}
#: Fields of a recipe that say nothing where they have this value.
_UNSAID = (None, "", 0, 0.0, False)
_DATASETS = "hf://datasets/"
_ABSOLUTE = re.compile(r"(?<![\w:/])(?:[A-Za-z]:)?[\\/][^\s,;'\"]+")


@dataclass(frozen=True)
class Published:
    """What a card speaks of.

    Attributes:
        name: of the repository, ``ORG/NAME``.
        document: of the run's report.
        licence: of its weights.
        files: their names and sizes in bytes, without the card.
        loading: a line of Python that loads the weights; None where no library of others does.
        library: whose line it is: ``timm``, else ``edgekit``.
        data: what the run was given as photos.
    """

    name: str
    document: Document
    licence: Licence
    files: tuple[tuple[str, int], ...]
    loading: str | None
    library: str
    data: str | None


def model_card(published: Published) -> str:
    """The text of ``README.md``, with the metadata that a hub reads in front.

    Raises:
        MissingToolError: huggingface_hub is not installed.
    """
    return f"---\n{_metadata(published)}\n---\n\n" + "\n".join(_body(published)) + "\n"


def _metadata(published: Published) -> str:
    hf, document = library(), published.document
    words = task_of(document).hub_words
    datasets = _dataset(published.data)
    data = hf.ModelCardData(
        license=published.licence.name,
        library_name=published.library,
        pipeline_tag=words.pipeline_tag,
        tags=_tags(published),
        base_model=published.licence.base,
        datasets=[datasets] if datasets else None,
        model_name=published.name.rpartition("/")[2],
        eval_results=_results(published) or None,
    )
    return str(data.to_yaml()).strip()


def _tags(published: Published) -> list[str]:
    endings = {PurePosixPath(name).suffix for name, _ in published.files}
    tags = ["edgekit", published.document["model"]]
    tags += [tag for ending, tag in TAGS.items() if ending in endings]
    schemes = {row["stage"].rsplit("-", 1)[0] for row in published.document["rows"]}
    return [*tags, *(["int8"] if any("w8" in scheme for scheme in schemes) else [])]


def _results(published: Published) -> list[Any]:
    """A result for each form of the network, all on the same photos."""
    hf, document = library(), published.document
    task = task_of(document)
    source = _dataset(published.data)
    return [
        hf.EvalResult(
            task_type=task.hub_words.pipeline_tag,
            dataset_type=source or "custom",
            dataset_name=without_folders(document["data"]["source"]),
            metric_type=task.hub_words.metric,
            metric_value=round(task.metric.value(row), 6),
            metric_name=f"{task.metric.name} of {row['stage']} ({row['runtime']})",
        )
        for row in document["rows"]
    ]


def _dataset(data: str | None) -> str | None:
    """The data set on the hub, ``ORG/NAME``, whose photos were used."""
    if data is None or not data.startswith(_DATASETS):
        return None
    return re.split(r"[@?#]", data.removeprefix(_DATASETS))[0]


def _body(published: Published) -> Iterator[str]:
    document, name = published.document, published.name.rpartition("/")[2]
    task = task_of(document)
    yield f"# {escape(name)}"
    yield ""
    yield (
        f"{escape(document['model'])} for {task.hub_words.pipeline_tag.replace('-', ' ')}, "
        f"{len(document['data']['labels'])} classes, made with edgekit "
        f"{document['edgekit_version']}. {escape(verdict(document['rows'], task.metric))}"
    )
    yield from _accuracy(published)
    yield from _data(published)
    yield from _recipe(document)
    yield from _licence(published)
    yield from _running(published)
    yield from _files(published.files)


def _accuracy(published: Published) -> Iterator[str]:
    document = published.document
    task, rows = task_of(document), document["rows"]
    yield from ("", "## Accuracy", "")
    if not rows:
        yield "Nothing was measured."
        return
    yield (
        f"All forms on the same {rows[0]['n']:,} validation photos; of each, the interval in which "
        f"{task.metric.name} is with a probability of 95 %. Latencies are of the computer of the "
        "build."
    )
    yield ""
    yield from markdown_table(known_columns(task, rows), rows)


def _data(published: Published) -> Iterator[str]:
    data = published.document["data"]
    yield from ("", "## Data", "")
    yield (
        f"{escape(without_folders(data['source']))}: {data['n_train']:,} photos to train, "
        f"{data['n_val']:,} to validate, {data['n_calibration']:,} to calibrate."
    )
    labels = data["labels"]
    yield ""
    more = f", … ({len(labels)})" if len(labels) > 100 else ""
    yield f"Classes, in the order of the output: {', '.join(map(escape, labels[:100]))}{more}"


def _recipe(document: Document) -> Iterator[str]:
    yield from ("", "## Recipe", "")
    training = document["training"]
    recipe = training.get("recipe", {}) if training else {}
    if recipe and training and training["history"]:
        said = {name: value for name, value in recipe.items() if value not in _UNSAID}
        yield ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items())
    else:
        yield "The weights were taken as they are: no epoch was trained."
    yield from ("", "```sh", without_folders_in(document["command"]), "```")


def _licence(published: Published) -> Iterator[str]:
    licence = published.licence
    yield from ("", "## Licence", "")
    if licence.is_known:
        yield f"`{licence.name}`. {escape(licence.why)}"
    else:
        yield (
            f"Unknown. {escape(licence.why)} Ask the publisher before you use it for more than a "
            "look."
        )


def _running(published: Published) -> Iterator[str]:
    document = published.document
    yield from ("", "## Use", "")
    snippet = python_snippet(document)
    yield "```sh"
    yield 'pip install "edgekit[hub]"'
    yield f"hf download {published.name} --local-dir {published.name.rpartition('/')[2]}"
    yield "```"
    if snippet:
        yield from ("", "Within that folder:", "", "```python", snippet.strip(), "```")
    if published.loading:
        yield from ("", f"The float weights in {published.library}:", "", "```python")
        yield from (published.loading, "```")


def _files(files: Sequence[tuple[str, int]]) -> Iterator[str]:
    yield from ("", "## Files", "")
    yield from (f"- `{name}`, {size(count)}" for name, count in files)


def without_folders(text: str) -> str:
    """Text in which absolute paths are their last names: folders say who has made it."""
    return _ABSOLUTE.sub(lambda found: PureWindowsPath(found[0]).name, text)


def without_folders_in(command: str) -> str:
    """A command in which absolute paths are their last names."""
    return shlex.join(map(_without_folder, shlex.split(command)))


def _without_folder(word: str) -> str:
    kinds = (PurePosixPath(word), PureWindowsPath(word))
    return next((path.name for path in kinds if path.is_absolute()), word)
