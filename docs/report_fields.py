"""The tables of docs/report.md: every field of ``report.json``, of the types it is written with.

A field's meaning is the comment behind it in its ``TypedDict``, or its line among the attributes
of its dataclass; what is a free table of values there, `OPEN` names.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

#: In place of which line of the page the tables are put.
MARK = "<!-- the fields, by docs/report_fields.py -->"

#: Values of JSON by the words of Python.
KINDS = {"str": "text", "int": "number", "float": "number", "bool": "true, false", "Any": "any"}

PLURALS = {"text": "texts", "number": "numbers", "table": "tables"}

#: Fields that are written as a class says, and declared as a table of values.
OPEN = {
    "preprocessing": "edgekit.data.preprocessing:Preprocessing",
    "preprocessing.anchors": "edgekit.data.boxes.anchors:Anchors",
    "training.recipe": "edgekit.training.recipe:Recipe",
    "quantization.search": "edgekit.pipeline.auto_quantize:Search",
    "quantization.search.trials[]": "edgekit.pipeline.auto_quantize:Trial",
    "chips[].figures": "edgekit.targets.executions:ChipFigures",
}

#: Types that are in several places of the report, with the one where the page shows their fields.
SHOWN_AT = {"Row": "rows", "Training": "training"}

#: What is put into a table that a dataclass writes.
ADDED = {
    "quantization.search": (
        ("held_out", "table or null", "what the chosen file gives on the other photos"),
        ("held_out.n", "number", "how many these are"),
        ("held_out.drop_pp", "number", "as in `rows`"),
        ("held_out.drop_se_pp", "number", "its standard error"),
        ("held_out.agreement", "number", "as in `rows`"),
        ("held_out.kl", "number", "as in `rows`"),
    )
}
#: Places of the task's metric, under its own name.
METRIC = (
    ("training.history[].val_", "on the validation photos, after the epoch"),
    ("quantization.search.trials[].", "of the emitted file on the photos that choose"),
    ("quantization.search.held_out.", "of the chosen file on the others"),
    ("devices[].accuracy[].", "of the file there; null where photos have no labels"),
)


@dataclass(frozen=True)
class Field:
    """A field of the report.

    Attributes:
        path: from the root; ``[]`` is each item of a list.
        kind: of its value, in words.
        about: what it means.
    """

    path: str
    kind: str
    about: str


def tables() -> list[str]:
    """The lines of the page's tables, one for each part of the report, then one for each task."""
    lines = []
    for title, rows in sections():
        lines += [f"### {title}", "", "| field | value | what it is |", "|---|---|---|"]
        lines += [f"| `{row.path}` | {row.kind} | {_cell(row.about)} |" for row in rows]
        lines.append("")
    return lines


def sections() -> Iterator[tuple[str, list[Field]]]:
    """The parts of the report, each with its fields."""
    from edgekit.report.document import Document
    from edgekit.tasks.registry import find_task, task_names

    found = list(fields(Document))
    top = [field for field in found if "." not in field.path and "[]" not in field.path]
    yield "The whole", top
    for parent in top:
        inner = [f for f in found if re.match(rf"{re.escape(parent.path)}(\[\])?\.", f.path)]
        if inner:
            yield f"`{parent.path}`", inner
    for name in task_names():
        figures = import_module(f"edgekit.tasks.{name}.rows").Figures
        evaluation = import_module(f"edgekit.tasks.{name}.evaluation").Evaluation
        key = find_task(name).metric.key
        metric = [Field(f"{path}{key}", "number", about) for path, about in METRIC]
        shown = {field.path for field in found}
        own = [field for field in fields(figures, "rows[].") if field.path not in shown]
        yield f"Of {name}", [*own, *metric, *fields(evaluation, "evaluation.")]


def fields(of: type, path: str = "") -> Iterator[Field]:
    """The fields of a ``TypedDict`` or a dataclass, and of what is in them."""
    for name, annotation, about in declared(of):
        if (of.__name__, name) != ("Trial", "score"):  # which has the name of the metric
            yield from _field(of, f"{path}{name}", annotation, about)


def _field(of: type, path: str, annotation: ast.expr, about: str) -> Iterator[Field]:
    optional, listed, inner = False, "", annotation
    while True:
        if isinstance(inner, ast.BinOp):  # `x | None`
            optional, inner = True, inner.left
        elif isinstance(inner, ast.Subscript) and _name(inner.value) == "NotRequired":
            inner = inner.slice
        elif isinstance(inner, ast.Subscript) and _name(inner.value) in ("list", "tuple"):
            items = inner.slice
            inner = items.elts[0] if isinstance(items, ast.Tuple) else items
            listed += "[]"
        else:
            break
    kind = getattr(sys.modules[of.__module__], _name(inner), None)
    if opened := OPEN.get(f"{path}{listed}"):
        module, _, name = opened.partition(":")
        kind = getattr(import_module(module), name)
    is_table = isinstance(kind, type) and _has_fields(kind)
    said = "table" if is_table else KINDS.get(_name(inner), "table")
    for depth in range(listed.count("[]")):
        said = f"list of {'lists' + said.removeprefix('list') if depth else PLURALS[said]}"
    yield Field(path, said + (" or null" if optional else ""), _text(about))
    if is_table and kind and SHOWN_AT.get(kind.__name__, path) == path:
        yield from fields(kind, f"{path}{listed}.")
        for name, said, about in ADDED.get(path, ()):
            yield Field(f"{path}.{name}", said, about)


def _name(annotation: ast.expr) -> str:
    return ast.unparse(annotation.value if isinstance(annotation, ast.Subscript) else annotation)


def _has_fields(of: type) -> bool:
    return is_dataclass(of) or hasattr(of, "__total__")


@cache
def declared(of: type) -> list[tuple[str, ast.expr, str]]:
    """The name, the annotation and the meaning of each field, those of its bases first."""
    found: list[tuple[str, ast.expr, str]] = []
    source = inspect.getsource(of)
    notes = _attributes(of) if is_dataclass(of) else _comments(source)
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    for base in body.bases:  # of which a TypedDict itself keeps none
        kind = getattr(sys.modules[of.__module__], ast.unparse(base), None)
        found += declared(kind) if isinstance(kind, type) and _has_fields(kind) else []
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            about = next((notes[key] for key in (node.target.id, *lines) if key in notes), "")
            found.append((node.target.id, node.annotation, about))
    return found


def _comments(source: str) -> dict[Any, str]:
    """The comments of a source by their lines."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _attributes(of: type) -> dict[Any, str]:
    """The attributes of a docstring in Google's style by their names."""
    text = inspect.cleandoc(of.__doc__ or "").partition("Attributes:\n")[2]
    text = re.split(r"^\S", text, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return {name: " ".join(about.split()) for name, about in found}


def _text(about: str) -> str:
    """A note for readers of JSON, who have no None."""
    return re.sub(r"\bNone\b", "null", about.replace("``", "`")).removesuffix(".")


def _cell(text: str) -> str:
    """Text in which a sign is no markup; what is in backticks is code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_\[\]<|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts).replace("\n", " ")
