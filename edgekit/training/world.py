"""One process, or several that train one network together, as ``torchrun`` starts them."""

from __future__ import annotations

import gc
import importlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from edgekit.errors import EdgekitError

#: How long a process waits for the others within a step before it takes them for dead.
PATIENCE = timedelta(minutes=30)

#: Groups that were left by an error.
_abandoned: list[dist.ProcessGroup | None] = []


@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: of this process, from 0; that one writes the files.
        size: how many there are.
        local_rank: of this process on its machine, which chooses its GPU.
        local_size: how many share its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def from_environment(cls) -> World:
        """Reads what ``torchrun`` sets; without it there is one process alone.

        Raises:
            EdgekitError: the variables are there, and are no numbers.
        """
        if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
            return cls()
        try:
            return cls(
                rank=int(os.environ["RANK"]),
                size=int(os.environ["WORLD_SIZE"]),
                local_rank=int(os.environ.get("LOCAL_RANK", "0")),
                local_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            )
        except ValueError as error:
            raise EdgekitError(
                "RANK and WORLD_SIZE in the environment are no numbers", cause=str(error)
            ) from error

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    def part(self, count: int) -> range:
        """The indices of this process among ``count`` of all: each belongs to one process."""
        return range(self.rank, count, self.size)

    def total(self, *values: float) -> list[float]:
        """The sums over all processes, float64."""
        if self.alone:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=_collective_device())
        dist.all_reduce(sums)
        return [float(value) for value in sums]

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in some process."""
        return self.total(float(flag))[0] > 0

    def least(self, value: int) -> int:
        """The smallest value of all processes."""
        if self.alone:
            return value
        least = torch.tensor(value, device=_collective_device())
        dist.all_reduce(least, dist.ReduceOp.MIN)
        return int(least)

    def follow_first(self, tensors: Iterable[Tensor]) -> None:
        """Gives every process the first one's values, in place."""
        if not self.alone:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def spread(self, contents: bytes) -> bytes:
        """Returns the first process's bytes in every process."""
        return contents if self.alone else _broadcast(contents if self.leads else None)

    def send(self, contents: bytes) -> None:
        """Hands bytes from the first process to all others; they `receive`."""
        if not self.alone:
            _store().add("edgekit/sent", 1)
            _broadcast(contents)

    def receive(self, number: int) -> bytes:
        """Waits, for as long as it takes, for the first process's ``number``-th message, from 1."""
        # Polled, since a signal is not heard in the middle of a collective.
        while _store().add("edgekit/sent", 0) < number:
            time.sleep(0.1)
        return _broadcast(None)


ALONE = World()


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Joins the processes of the run, over nccl where they compute on GPUs, else over gloo.

    Args:
        device: what this process computes on.

    Raises:
        EdgekitError: the others cannot be reached.
    """
    world = World.from_environment()
    if world.alone:
        yield world
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    # Its functions have the group as a default, and would keep it were they imported later, by DDP.
    importlib.import_module("torch.distributed.nn.functional")
    try:
        dist.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise EdgekitError(
            "the processes of the run cannot join",
            cause=str(error).splitlines()[0],
            hint="start them with torchrun, as docs/training.md shows",
        ) from error
    group = dist.group.WORLD
    try:
        yield world
    except BaseException:
        # Its end waits for what is under way, and the others may never answer again.
        _abandoned.append(group)
        raise
    finally:
        dist.destroy_process_group()
    # A thread of gloo may want the interpreter to let go of a tensor, and aborts the process where
    # Python has ended. The group waits for its threads: deleted here it lets them have the
    # interpreter meanwhile; deleted with a network that holds it, it would not.
    gc.collect()
    del group


def _store() -> torch._C._distributed_c10d.Store:
    return dist.distributed_c10d._get_default_store()


def _collective_device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _broadcast(contents: bytes | None) -> bytes:
    device = _collective_device()
    length = torch.tensor(len(contents or b""), device=device)
    dist.broadcast(length, 0)
    buffer = torch.empty(int(length), dtype=torch.uint8, device=device)
    if contents:
        buffer.copy_(torch.frombuffer(bytearray(contents), dtype=torch.uint8))
    if len(buffer):
        dist.broadcast(buffer, 0)
    return buffer.cpu().numpy().tobytes()
