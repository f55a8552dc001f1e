"""Builds stand-ins for libedgetpu, and the models that it is given."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from prerequisites import skip_without
from tiny_tflite import TinyModel, schema

SOURCE = Path(__file__).with_name("stand_in_delegate.c")


def build_library(folder: Path, *switches: str) -> str:
    """Compiles the stand-in with these switches (see its source); skips without a C compiler."""
    gcc = shutil.which("gcc")
    if gcc is None:
        skip_without("gcc")
    library = folder / "libstand_in_for_edgetpu.so"
    flags = [f"-D{switch}" for switch in switches]
    subprocess.run([gcc, "-shared", "-fPIC", *flags, "-o", library, SOURCE], check=True)
    return str(library)


def compiled_model() -> bytes:
    """A file that looks as if the Edge TPU's compiler had made it."""
    tiny = TinyModel()
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"
    return tiny.pack()
