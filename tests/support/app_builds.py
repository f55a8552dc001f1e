"""Builds an app's sources with real compilers, and runs them beside what stands in for a phone."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from places import ROOT, TESTS

from edgekit.data.images import to_rgb
from edgekit.data.preprocessing import Preprocessing
from edgekit.runtimes.litert import feed_table
from edgekit.targets.deploy.deploy import deploy
from edgekit.targets.deploy.model import describe, find_source

#: What `make .android/ready` brings.
PACKAGES = ROOT / ".android"
KOTLIN = PACKAGES / "kotlin-compiler/package/lib"
C_LIBRARY = PACKAGES / "tfjs-tflite-node/package/cc_deps"
#: The process in which apps are compiled and run, and what stands in for Android there.
SOURCES = TESTS / "targets/deploy/android"
_JARS = (
    *("kotlin-compiler", "kotlin-stdlib", "kotlin-script-runtime", "kotlin-reflect"),
    *("kotlinx-coroutines-core-jvm", "annotations-13.0"),
)
_KINDS = {"classification": "Classifier", "segmentation": "Segmenter", "detection": "Detector"}


def missing() -> str | None:
    """What this machine lacks to build Kotlin, by its name in `prerequisites`; None if nothing."""
    if shutil.which("javac") is None:
        return "javac"
    return None if KOTLIN.is_dir() else "kotlin"


def c_library() -> Path | None:
    """TensorFlow Lite's C library for this machine; None where there is none."""
    machine = {"x86_64": "linux_amd64", "aarch64": "linux_arm64"}.get(platform.machine(), "none")
    library = C_LIBRARY / machine / "libtensorflowlite_c.so"
    return library if library.exists() else None


@dataclass(frozen=True)
class App:
    """An app's folder.

    Attributes:
        folder: what `deploy` wrote, and what `build` adds to it.
        model: its file.
        api: how the app runs it.
        preprocessing: how edgekit prepares photos for it.
    """

    folder: Path
    model: Path
    api: str
    preprocessing: Preprocessing

    @property
    def said(self) -> str:
        """What the compiler says where it does not succeed, or warns."""
        return (self.folder / "compiler.txt").read_text()

    @property
    def printed(self) -> list[list[float]]:
        """The numbers of each line that the app prints."""
        lines = (self.folder / "printed.txt").read_text().split("\n")
        return [[float(word) for word in line.split()] for line in lines]

    def fed(self, photo: int) -> bytes:
        """What the app gives the model for a photo."""
        return (self.folder / f"answers/input-{photo}").read_bytes()

    def prepared(self, photo: Image.Image) -> NDArray[Any]:
        """What edgekit gives the model for a photo, [1, size, size, 3]."""
        source = find_source(self.model)
        pixels = self.preprocessing.pixels(photo)
        table = feed_table(source.image, self.model, source.normalization)
        return (pixels if table is None else table[pixels, np.arange(3)])[None]


def write_app(model: Path, folder: Path, api: str, photos: Sequence[Image.Image]) -> App:
    """Deploys a model as an app, with photos and what the real runtime answers for them."""
    deploy(model, None, android=api, to=str(folder))
    description = describe(find_source(model))
    app = App(folder, model, api, description.preprocessing)
    (folder / "kind").write_text(_KINDS[description.task])
    answers = folder / "answers"
    answers.mkdir()
    for number, photo in enumerate(photos):
        (answers / f"photo-{number}").write_bytes(_bitmap(photo))
    inputs = [app.prepared(photo) for photo in photos]
    (answers / "input.txt").write_text(str(inputs[0].nbytes))
    run = {"interpreter": _by_interpreter, "compiled-model": _by_compiled_model}[api]
    for number, outputs in enumerate(run(model, inputs)):
        sizes = [f"{output.nbytes} {output.size}" for output in outputs]
        (answers / "outputs.txt").write_text("\n".join(sizes))
        for place, output in enumerate(outputs):
            (answers / f"output-{number}-{place}").write_bytes(output.tobytes())
    return app


def _bitmap(photo: Image.Image) -> bytes:
    """A photo as the app reads it: width, height, and its pixels as ARGB."""
    red, green, blue, alpha = (
        np.asarray(channel, np.uint32) for channel in photo.convert("RGBA").split()
    )
    return np.array(photo.size, "<i4").tobytes() + (
        (alpha << 24 | red << 16 | green << 8 | blue).astype("<u4").tobytes()
    )


def _by_interpreter(model: Path, inputs: list[NDArray[Any]]) -> list[list[NDArray[Any]]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    found = []
    for values in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
        found.append(
            [interpreter.get_tensor(end["index"]) for end in interpreter.get_output_details()]
        )
    return found


def _by_compiled_model(model: Path, inputs: list[NDArray[Any]]) -> list[list[NDArray[Any]]]:
    """As the app does it: bytes are written and read as int8 whatever they stand for."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.interpreter import Interpreter

    ends = Interpreter(str(model)).get_output_details()
    compiled = CompiledModel.from_file(str(model))
    given, taken = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    found = []
    for values in inputs:
        given[0].write(values.view(np.int8) if values.dtype == np.uint8 else values)
        compiled.run_by_index(0, given, taken)
        found.append([_read(buffer, end) for buffer, end in zip(taken, ends, strict=True)])
    return found


def _read(buffer: Any, end: dict[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(end["dtype"])
    stored = np.int8 if dtype == np.uint8 else dtype.type
    return np.asarray(buffer.read(int(np.prod(end["shape"])), stored)).view(dtype)


def build(apps: Sequence[App], work: Path) -> None:
    """Compiles apps, and runs those that compile."""
    command = [
        *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
        *(
            "-cp",
            ":".join(str(KOTLIN / f"{jar}.jar") for jar in _JARS),
            str(SOURCES / "Build.java"),
        ),
        *(str(SOURCES), str(KOTLIN / "kotlin-stdlib.jar"), str(work)),
        *(str(app.folder) for app in apps),
    ]
    subprocess.run(command, check=True, timeout=900)


def build_cpp(main: Path, work: Path) -> Path:
    """Builds an app's C++ with the real headers and library; returns a program of `main.cc`."""
    library, program = c_library(), work / "classify"
    assert library is not None
    flags = ["-std=c++14", "-O1", "-Wall", "-Wextra", "-Werror"]
    # The headers are not ours to warn of.
    flags += ["-isystem", str(C_LIBRARY / "include"), "-I", str(main / "cpp")]
    sources = [SOURCES / "cpp/main.cc", *sorted((main / "cpp").glob("*.cc"))]
    linked = [str(library), f"-Wl,-rpath,{library.parent}"]
    subprocess.run(["g++", *flags, *map(str, sources), *linked, "-o", str(program)], check=True)
    return program


def rgb_file(photo: Image.Image, path: Path) -> Path:
    """Writes a photo as `main.cc` reads it: width, height, and its bytes as RGB."""
    path.write_bytes(np.array(photo.size, "<i4").tobytes() + to_rgb(photo).tobytes())
    return path
