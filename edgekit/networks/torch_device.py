"""Which processor torch uses, and in which precision it trains."""

from __future__ import annotations

import contextlib
import os
from typing import TypeVar

import torch
from torch import nn

from edgekit.errors import UsageError, did_you_mean

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("auto", "fp32", *HALVES)

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def pick_device(name: str) -> torch.device:
    """Resolves ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UsageError: torch does not know the device, or it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"no device '{name}'", cause=reason, hint="auto takes what is there"
        ) from None
    return device


def place(module: ModuleT, device: torch.device | str) -> ModuleT:
    """Moves a network to a device, channels last: the layout that convolutions are fastest in."""
    module.to(device)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def autocast(
    device: torch.device, precision: str = "auto"
) -> contextlib.AbstractContextManager[object]:
    """The precision that a network computes in; its weights stay in full precision.

    Args:
        device: what it computes on.
        precision: ``fp32``, ``bf16``, ``fp16`` (whose loss needs scaling), or ``auto``: bfloat16
            where it is faster, on GPUs that have it and on CPUs that multiply tiles of it (AMX).

    Raises:
        UsageError: there is no such precision, or not on this device.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"no precision '{precision}'", hint=did_you_mean(precision, PRECISIONS))
    if precision == "auto":
        precision = "bf16" if _fast_bf16(device) else "fp32"
    if precision == "fp32":
        return contextlib.nullcontext()
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("a CPU does not train in fp16", hint="bf16 or fp32")
    return torch.autocast(device.type, HALVES[precision])


def _fast_bf16(device: torch.device) -> bool:
    """Whether a step is faster in bfloat16 than in full precision.

    On a CPU AVX-512's bfloat16 alone is no gain (benchmarks/training.py --precision bf16).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def make_deterministic(seed: int) -> None:
    """Makes what follows repeatable: seeds torch, and asks for repeatable kernels."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A net for faulty kernels that read what nobody wrote; it costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
