"""From the options of a build to what training computes on and how."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from edgekit.options.training import EngineOptions
from edgekit.system.host import usable_cores

if TYPE_CHECKING:
    from edgekit.training.engine import Engine
    from edgekit.training.world import World

GIB = 1 << 30
#: Options of the engine that change the weights.
DECIDING = ("precision", "micro_batch", "sync_norm")
#: More threads than these wait for each other.
MOST_WORKERS = 16


def share_of_cores(world: World | None = None) -> int:
    """The cores of this machine for each of the run's processes on it, at least one."""
    return max(1, usable_cores() // (world.local_size if world else 1))


def occupy(threads: int) -> None:
    """Gives torch its threads and lets it keep its memory, in this process."""
    import torch

    from edgekit.system.memory import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()


def make_engine(options: EngineOptions, world: World | None = None) -> Engine:
    """The engine that the options ask for, in one of the processes of a run.

    Raises:
        UsageError: the device is not there, or does not compute in that precision.
    """
    from edgekit.networks.torch_device import autocast, pick_device
    from edgekit.training.engine import Engine
    from edgekit.training.world import ALONE

    world = world or ALONE
    device = pick_device(options.torch_device)
    if device.type == "cuda" and device.index is None and not world.alone:
        device = pick_device(f"cuda:{world.local_rank}")
    autocast(device, options.precision)
    workers = max(2, share_of_cores(world))
    return Engine(
        device=device,
        precision=options.precision,
        compile=options.torch_compile,
        micro_batch=options.micro_batch,
        recompute=options.recompute,
        sync_norm=options.sync_norm,
        workers=options.workers or min(workers, MOST_WORKERS),
        cache_bytes=int(options.cache_photos * GIB),
        save_seconds=60 * options.save_minutes,
        world=world,
    )


def deciding(options: EngineOptions) -> dict[str, Any]:
    """What of the engine changes the weights beyond rounding errors; nothing by default."""
    values = {
        item.name: (getattr(options, item.name), item.default)
        for item in dataclasses.fields(options)
        if item.name in DECIDING
    }
    return {name: value for name, (value, default) in values.items() if value != default}
