"""The command line as it is: its commands, what they take, and which modules they reach."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from typer.main import get_command

import edgekit
from edgekit.cli import app

PACKAGE = Path(edgekit.__file__).parent


@cache
def root() -> Any:
    """The command line itself."""
    return get_command(app)


@cache
def commands() -> dict[str, Any]:
    """Every command by the words that call it, for example ``weights import``."""
    found = {}

    def add(words: tuple[str, ...], command: Any) -> None:
        for name, child in getattr(command, "commands", {}).items():
            add((*words, name), child)
        if not hasattr(command, "commands"):
            found[" ".join(words)] = command

    add((), root())
    return found


@cache
def options(command: str) -> frozenset[str]:
    """The options that a command takes, those of the root command with them."""
    own = commands()[command].params + root().params
    names = {name for p in own for name in (*p.opts, *p.secondary_opts) if name.startswith("-")}
    return frozenset({*names, "--help"})


def parse(words: list[str], defaults: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """Reads arguments as the program does, without running anything.

    Args:
        words: the arguments.
        defaults: by command, what a file of options gives.

    Returns the command, and its parameters by their names in Python.

    Raises:
        UsageError of the parser: there is no such command or option, or an argument is missing.
    """
    command, context, name, names = root(), None, "edgekit", []
    while True:
        given = {} if context else {"default_map": defaults}
        context = command.make_context(name, words, parent=context, **given)
        if not hasattr(command, "commands"):
            return " ".join(names), context.params
        words = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, words)
        names.append(name)


@cache
def sources() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for folder in (PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_symlink())):
        for path in sorted(folder.rglob("*.py")):
            name = ".".join(("edgekit", *path.relative_to(PACKAGE).with_suffix("").parts))
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the package that a module imports, wherever in it, but for types alone."""
    tree = ast.parse(sources()[module].read_text("utf-8"))
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    if module == "edgekit.targets.registry":  # it finds them by their entry points
        found.update(point.module for point in entry_points(group="edgekit.targets"))
    return frozenset(found & sources().keys()) - {"edgekit", module}


@cache
def reached(module: str) -> frozenset[str]:
    """A module and all that it imports, directly or not."""
    found, open_ = set(), [module]
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            open_ += imports(name)
    return frozenset(found)


@cache
def home(command: str) -> str:
    """The module that defines a command."""
    callback = commands()[command].callback
    return str(getattr(callback, "__wrapped__", callback).__module__)


def commands_of(module: str) -> tuple[str, ...]:
    """The commands that reach a module: what it says may be theirs to say."""
    everyone = commands() if module == "edgekit.cli" else ()
    return tuple(everyone) or tuple(n for n in commands() if module in reached(home(n)))


def texts(module: str) -> Iterator[tuple[int, str]]:
    """The line and the text of every string; ``{}`` where a value goes.

    Left out are docstrings and the declarations of options.
    """
    tree = ast.parse(sources()[module].read_text("utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # a docstring
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(map(id, node.values))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "typer.Option":
            skipped.update(map(id, node.args))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (
                str(getattr(value, "value", "")) if isinstance(value, ast.Constant) else "{}"
                for value in node.values
            )
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
