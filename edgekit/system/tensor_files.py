"""Safetensors files that appear whole or not at all, as `edgekit.system.files` has others."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.system.files import replace_whole
from edgekit.system.paths import StrPath


def write_tensors(
    path: StrPath, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Writes arrays by name, straight from their memory: bytes in between take as long again.

    Args:
        path: of the file.
        tensors: arrays of any shape and order.
        metadata: of the file's header.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    contents = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replace_whole(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(contents, temporary, metadata=dict(metadata))
        except SafetensorError as error:
            raise _of_system(error, path) from None
        temporary.chmod(mode)  # safetensors' own temporary file is its owner's alone


def _of_system(error: Exception, path: StrPath) -> OSError:
    """The system's error that safetensors has put into words, as Python has it."""
    number = re.search(r"os error ([0-9]+)", str(error))
    if number is None:
        return OSError(f"cannot write {path}: {error}")
    code = int(number[1])
    return OSError(code, os.strerror(code), str(path))
