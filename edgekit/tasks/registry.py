"""Finds a task by its name: each package in this folder is one, its ``task.TASK`` the object."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from edgekit import tasks
from edgekit.errors import UsageError, did_you_mean
from edgekit.tasks.task import Task


def task_names() -> list[str]:
    """The tasks that there are."""
    return sorted(module.name for module in iter_modules(tasks.__path__) if module.ispkg)


@cache
def find_task(name: str) -> Task:
    """Returns a task.

    Args:
        name: as `edgekit.data.preprocessing.Preprocessing.task` and a variant have it.

    Raises:
        UsageError: there is no such task.
    """
    known = task_names()
    if name not in known:  # it may come from a file: nothing else is imported by it
        raise UsageError(f"unknown task '{name}'", hint=did_you_mean(name, known))
    task: Task = import_module(f"edgekit.tasks.{name}.task").TASK
    return task
