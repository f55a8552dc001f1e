"""Processes that train together agree: seen from one, and in two and three real ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgekit.errors import EdgekitError
from edgekit.training.world import ALONE, World, joined

VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables of torchrun, and those alone."""

    def set_variables(**values):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables


@pytest.mark.parametrize(
    ("values", "world"),
    [
        ({}, ALONE),
        ({"RANK": "3"}, ALONE),
        ({"RANK": "2", "WORLD_SIZE": "4"}, World(rank=2, size=4)),
        (
            {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"},
            World(rank=5, size=8, local_rank=1, local_size=4),
        ),
    ],
)
def test_torchruns_variables_are_read(environment, values, world):
    environment(**values)
    assert World.from_environment() == world


def test_variables_that_are_no_numbers_are_refused(environment):
    environment(RANK="first", WORLD_SIZE="2")
    with pytest.raises(EdgekitError, match="no numbers") as caught:
        World.from_environment()
    assert "first" in caught.value.cause


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 24])
def test_the_parts_are_a_partition_of_nearly_equal_parts(size, count):
    parts = [World(rank=rank, size=size).part(count) for rank in range(size)]
    assert sorted(index for part in parts for index in part) == list(range(count))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_a_process_alone_needs_no_others(environment):
    environment()
    with joined(torch.device("cpu")) as world:
        assert world == ALONE
        assert (world.leads, world.alone) == (True, True)
        assert world.total(1.5, 2) == [1.5, 2]
        assert (world.any(True), world.any(False)) == (True, False)
        assert world.least(7) == 7
        assert world.spread(b"x") == b"x"
        world.send(b"x")
        tensor = torch.ones(2)
        world.follow_first([tensor])
        assert tensor.tolist() == [1, 1]
    assert not torch.distributed.is_initialized()


def test_processes_that_cannot_join_are_an_error(environment):
    environment(RANK="0", WORLD_SIZE="2")  # nobody says where the others are
    with (
        pytest.raises(EdgekitError, match="cannot join") as caught,
        joined(torch.device("cpu")),
    ):
        pass
    assert "MASTER_ADDR" in caught.value.cause
    assert "torchrun" in caught.value.hint


MESSAGES = (b"a recipe", b"", bytes(range(256)) * 4000)


def threads():
    """The names of this process's threads; only Linux tells them."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def meet():
    """What each of the real processes does; the test reads what it prints."""
    with joined(torch.device("cpu")) as world:
        rank = world.rank
        tensors = [torch.full((2, 3), rank + 1.0), torch.tensor(rank + 10)]
        world.follow_first(tensors)
        seen = {
            "leads": world.leads,
            "total": world.total(rank + 0.1, 1),
            "any": [world.any(False), world.any(rank == world.size - 1), world.any(True)],
            "least": world.least(100 - rank),
            "followed": [tensor.unique().tolist() for tensor in tensors],
            "spread": world.spread(b"of rank %d" % rank).decode(),
            "spread nothing": world.spread(b"" if world.leads else b"more").decode(),
        }
        if world.leads:
            for message in MESSAGES:
                world.send(message)
        else:
            seen["received"] = [
                world.receive(number) == message for number, message in enumerate(MESSAGES, 1)
            ]
        seen["after"] = world.total(1)
        network = DistributedDataParallel(nn.Linear(2, 2))
        network.itself = [network]  # a cycle, as longer-lived ones have
        network(torch.ones(1, 2)).sum().backward()
        del network
    seen["left"] = not torch.distributed.is_initialized()
    seen["threads"] = [name for name in threads() if "gloo" in name]
    return seen


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def processes(request):
    """What so many processes have seen, by rank."""
    size = request.param
    from ports import free_port  # which the processes of this file do not find

    ran = subprocess.run(
        [sys.executable, __file__],
        stdout=subprocess.PIPE,
        env=os.environ
        | {"WORLD_SIZE": str(size), "OMP_NUM_THREADS": "1"}
        | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())},
        timeout=120,
        check=True,
    )
    return [seen for _, seen in sorted(json.loads(line) for line in ran.stdout.splitlines())]


def test_only_the_first_process_leads(processes):
    assert [seen["leads"] for seen in processes] == [True] + [False] * (len(processes) - 1)


def test_all_have_the_totals(processes):
    size = len(processes)
    expected = [sum(range(size)) + 0.1 * size, size]
    assert all(seen["total"] == pytest.approx(expected) for seen in processes)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("any", [False, True, True]),
        ("followed", [[1.0], [10]]),
        ("spread", "of rank 0"),
        ("spread nothing", ""),
        ("left", True),
        ("threads", []),  # one that wants the interpreter while it ends aborts the process
    ],
)
def test_all_agree(processes, what, expected):
    assert [seen[what] for seen in processes] == [expected] * len(processes)


def test_all_have_the_least(processes):
    assert [seen["least"] for seen in processes] == [101 - len(processes)] * len(processes)


def test_messages_arrive_whole_in_order_and_nothing_is_left_over(processes):
    assert [seen["received"] for seen in processes[1:]] == [[True] * 3] * (len(processes) - 1)
    assert [seen["after"] for seen in processes] == [[len(processes)]] * len(processes)


def fork_and_meet():
    """Meets in processes that are forked from this one: torch is loaded once for all.

    It has started no threads yet. Each ends as any Python does, and not by `os._exit`.
    """
    import torch._dynamo  # noqa: F401, which every DistributedDataParallel loads

    children = []
    for rank in range(int(os.environ["WORLD_SIZE"])):
        child = os.fork()
        if not child:
            os.environ["RANK"] = str(rank)
            os.write(1, f"{json.dumps([rank, meet()])}\n".encode())  # a line is one write
            return
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(statuses))


if __name__ == "__main__":
    fork_and_meet()
