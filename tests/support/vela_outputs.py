"""What Vela 5.2.0 made of two small files and said of them, recorded; and files in front of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_tflite import TinyModel, float_io

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.ethosu.compiler import read_outcome
from edgekit.targets.ethosu.mapping import VelaPrediction
from edgekit.targets.ethosu.options import VelaOptions
from edgekit.targets.ethosu.tools import TOSA, VELA
from edgekit.targets.toolchains.work import Done

RECORDED = Path(__file__).with_name("vela")
#: By name: the file, and the options it was compiled with.
FILES = {
    "whole": (TinyModel, VelaOptions(config="ethos-u85-256")),
    "partly": (float_io, VelaOptions()),
}
needs_vela = pytest.mark.skipif(
    not VELA.is_installed, reason=f"needs {VELA.title} (edgekit toolchain install {VELA.name})"
)
needs_tosa = pytest.mark.skipif(
    not TOSA.is_installed, reason=f"needs {TOSA.title} (edgekit toolchain install {TOSA.name})"
)


def text(name: str) -> str:
    """A recorded text."""
    return (RECORDED / name).read_text("utf-8")


def recorded(name: str, folder: Path) -> tuple[Path, VelaPrediction]:
    """A file in a folder, and what Vela made of it."""
    make, options = FILES[name]
    path = folder / f"{name}.tflite"
    path.write_bytes(make().pack())
    model = np.frombuffer((RECORDED / f"{name}_vela.tflite").read_bytes(), np.uint8)
    done = Done({"summary": text(f"{name}.csv")}, {"model": model}, text(f"{name}.log"), 1.0)
    return path, read_outcome(path, tflite_file.read(path), options, done)
