"""A task is found by the name of its package, and only there."""

import pytest

from edgekit.data.preprocessing import DEFAULT_TASK, Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.tasks.registry import find_task, task_names
from edgekit.tasks.task import Task


@pytest.mark.parametrize("name", task_names())
def test_every_package_is_a_task_of_its_name(name):
    task = find_task(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task is find_task(name)
    assert task.device_program.is_file()
    assert (task.page.folder / "page.html.j2").is_file()


def test_every_variant_has_a_task():
    assert {spec.task for spec in SPECS.values()} <= set(task_names())


def test_what_is_no_package_is_not_imported():
    for name in ("clasification", "task", "../classification", "os", ""):
        with pytest.raises(UsageError, match="unknown task"):
            find_task(name)


def test_a_record_names_its_task_unless_it_is_the_first_one():
    record = Preprocessing(8, (0.0,) * 3, (1.0,) * 3, ("a",))
    assert record.task == DEFAULT_TASK
    assert "task" not in record.to_dict()
    other = Preprocessing.from_dict({**record.to_dict(), "task": "counting"})
    assert other.to_dict()["task"] == "counting"
    assert Preprocessing.from_dict(other.to_dict()) == other
    with pytest.raises(UsageError, match="task"):
        Preprocessing.from_dict({**record.to_dict(), "task": 3})
