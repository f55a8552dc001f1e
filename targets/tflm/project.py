"""The sources with which a program on a microcontroller classifies: C++ for TFLite Micro."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.converters.tflite.file import read_bytes
from edgekit.data.images import Pixels
from edgekit.targets.deploy.material import Material, Project
from edgekit.targets.deploy.templates import render
from edgekit.targets.tflm.interpreter import answer
from edgekit.targets.tflm.operators import registrations
from edgekit.targets.tflm.toolchain import TOOLCHAIN

FOLDER = Path(__file__).with_name("files")
#: Of the arena, for scratch memory of a chip's own kernels, which no host can measure.
MARGIN = 0.1
UNIT = 1024
#: By file: its template.
SOURCES = {
    name: f"{name}.j2"
    for name in (
        *("model.h", "ops.h", "settings.h", "classifier.h", "classifier.cc"),
        *("test_image.h", "main.cc", "Makefile", "README.md"),
    )
}
_TYPES = {"uint8": "std::uint8_t", "int8": "std::int8_t", "float32": "float"}
_A_LINE = 20


def make_project(material: Material) -> Project:
    """Measures the model in TFLite Micro's interpreter, and writes the sources.

    Raises:
        MissingToolError: the interpreter is not installed.
        CompileError: it does not take the file.
    """
    source, expected = material.source, material.expected
    answers = answer(source.path, expected.pixels[None], lambda done, total: None)
    output = source.scores
    outputs = answers.outputs[0]
    if output.scale is not None:
        outputs = np.rint(outputs / np.float32(output.scale)) + (output.zero_point or 0)
    files = write_sources(material, dict(answers.figures.memory), outputs)
    runtime = f"TFLite Micro {TOOLCHAIN.version}"
    best = material.description.labels[int(outputs.argmax())]
    return Project(files, f"run here by {runtime} on {expected.photo}: {best}")


def write_sources(material: Material, memory: dict[str, int], outputs: Any) -> dict[str, bytes]:
    """The sources by path.

    Args:
        material: the model.
        memory: what the interpreter takes for it, by name.
        outputs: the interpreter's for the photo of the material, in the output's own numbers.
    """
    contents = read_bytes(material.source.path)
    size = arena_size(memory["arena"])
    values = {
        "model_size": len(contents),
        "methods": registrations(material.source.model),
        "arena": memory["arena"],
        "persistent": memory["persistent"],
        "shared": memory["non-persistent"],
        "arena_size": size,
        "margin": size - memory["arena"],
        "photo": material.expected.photo,
        "runtime": f"TFLite Micro {TOOLCHAIN.version}",
    }
    record = material.description.record
    files = {name: render(template, record, FOLDER, **values) for name, template in SOURCES.items()}
    files["model.cc"] = _model(contents)
    files["test_image.cc"] = _test_image(
        material.expected.pixels, outputs, record["output"]["dtype"]
    )
    return files


def arena_size(measured: int) -> int:
    """The size of the arena in the sources: what was measured and a margin, in whole units."""
    return -(-int(measured * (1 + MARGIN)) // UNIT) * UNIT


def _model(contents: bytes) -> bytes:
    head = '#include "model.h"\n\nnamespace edgekit {\n\n'
    array = _array("alignas(16) const std::uint8_t kModel[]", contents)
    return f"{head}{array}\n}}  // namespace edgekit\n".encode()


def _test_image(pixels: Pixels, outputs: Any, dtype: str) -> bytes:
    head = '#include "test_image.h"\n\nnamespace edgekit {\n\n'
    image = _array("const std::uint8_t kTestImage[kImageSize]", pixels.tobytes())
    is_float = dtype == "float32"
    numbers = [f"{float(v):.9g}" if is_float else str(int(v)) for v in outputs]
    expected = _lines("const Output kExpected[kClasses]", numbers)
    return f"{head}{image}\n{expected}\n}}  // namespace edgekit\n".encode()


def _array(declared: str, contents: bytes) -> str:
    return _lines(declared, map(str, contents))


def _lines(declared: str, numbers: Iterable[str]) -> str:
    """An array as text, some numbers a line."""
    every = list(numbers)
    rows = (",".join(every[k : k + _A_LINE]) for k in range(0, len(every), _A_LINE))
    return f"{declared} = {{\n" + ",\n".join(rows) + "};\n"
