"""What a run computes on and how, as far as it is no part of the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgekit.training.world import ALONE, World


@dataclass(frozen=True)
class Engine:
    """How steps are computed.

    Attributes:
        device: torch device.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; see
            `edgekit.networks.torch_device.autocast`.
        compile: whether torch compiles the network; where it cannot, it is run as it is.
        micro_batch: photos of a process at once, whose gradients add up to those of the step;
            None for all, on a GPU as many as fit.
        recompute: whether activations are computed again for the gradient instead of kept.
        sync_norm: whether normalizations see the batches of all processes (GPUs only).
        workers: threads that decode and vary photos.
        cache_bytes: memory for decoded photos.
        save_seconds: time between checkpoints within an epoch; 0 for none.
        world: the processes of the run.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "auto"
    compile: bool = False
    micro_batch: int | None = None
    recompute: bool = False
    sync_norm: bool = False
    workers: int = 2
    cache_bytes: int = 0
    save_seconds: float = 600.0
    world: World = ALONE


def compiled(module: nn.Module, warn: Callable[[str], None]) -> Callable[[Tensor], Tensor]:
    """Lets torch compile a module at its first call; runs it as it is where that fails.

    Args:
        module: from a float NCHW tensor to logits.
        warn: told why it is not compiled.
    """
    fast: Callable[[Tensor], Tensor] | None = None
    works = True

    def forward(x: Tensor) -> Tensor:
        nonlocal fast, works
        if works:
            try:
                fast = fast or torch.compile(module)
                return fast(x)
            except (RuntimeError, ImportError, OSError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                works = False
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                warn(f"torch.compile does not work here, training goes on without it: {reason}")
        result: Tensor = module(x)
        return result

    return forward
