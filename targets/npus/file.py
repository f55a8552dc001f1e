"""The int8 .onnx file that compilers of NPUs take, and how photos become its input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import UsageError
from edgekit.system.extras import require
from edgekit.targets.files import Form, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.data.images import Pixels

_STEM = "w8a8-static-nchw"


def _write(source: Source, folder: Path) -> str:
    from edgekit.converters.onnx.package import package_onnx
    from edgekit.system.files import write_bytes
    from edgekit.system.text import size

    contents = package_onnx(
        source.graph, preprocessing=source.preprocessing, scheme="w8a8-static", io="float32"
    )
    write_bytes(folder / f"{_STEM}.onnx", contents)
    return size(len(contents))


#: One and the same for all that take it, so that a build for several writes it once. It is the
#: file of the target onnx with normalised reals as its input, whatever ``--io`` says: Rockchip's
#: compiler misreads bytes in NHWC, and Qualcomm's takes both.
NCHW = Form("w8a8-onnx-nchw", _STEM, (".onnx",), True, _write)


def nchw_forms() -> tuple[Form, ...]:
    """Returns the one form.

    Raises:
        MissingToolError: what writes and checks it is not installed.
    """
    require("onnx", "onnx", "onnxruntime")
    return (NCHW,)


@dataclass(frozen=True)
class Feed:
    """How the bytes of photos become what a file's input is given, by the file's own record.

    Attributes:
        mean: that is taken from them, by channel.
        std: by which they are divided then.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, path: Path) -> Feed:
        """Reads the record of a file.

        Raises:
            UsageError: the file cannot be read, says nothing of its input, or takes something
                else than normalised reals in NCHW.
        """
        from edgekit.converters.onnx import file as onnx_file
        from edgekit.data.preprocessing import Preprocessing

        model = onnx_file.read(path)
        if model.preprocessing is None:
            raise UsageError(
                f"{path} does not say how a photo is normalised",
                cause="it has no record of edgekit's",
                hint="write it with `edgekit build`",
            )
        record = Preprocessing.from_dict(model.preprocessing)
        (image,) = model.inputs
        if image.dtype != "float32" or (image.shape or ())[1:2] != (3,):
            raise UsageError(
                f"{path} does not take normalised reals in NCHW",
                cause=f"its input is {image.dtype} {list(image.shape or ())}",
                hint=f"take the file that a build calls {NCHW.file}",
            )
        return cls(record.mean, record.std)

    def arrays(self, pixels: Pixels) -> dict[str, NDArray[Any]]:
        """Returns photos and numbers for a worker, which normalises: reals take four times more."""
        return {
            "pixels": pixels,
            "mean": np.array(self.mean, np.float32),
            "std": np.array(self.std, np.float32),
        }
