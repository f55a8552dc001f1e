"""Libraries of others that may be installed beside the tests."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import Any

import torch
from prerequisites import skip_without


@functools.cache
def missing_operators() -> Any:
    """Torchvision for CUDA does not import beside a torch without it: two operators are not there.

    No network of the family uses them.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def library(name: str) -> Any:
    """Imports one; the test is skipped where it is not installed."""
    if importlib.util.find_spec(name.split(".")[0]) is None:
        skip_without(name.split(".")[0])
    try:
        return importlib.import_module(name)
    except RuntimeError:
        for module in [m for m in sys.modules if m.split(".")[0] in ("torchvision", "timm")]:
            del sys.modules[module]
        missing_operators()
        return importlib.import_module(name)
