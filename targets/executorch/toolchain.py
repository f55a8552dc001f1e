"""The packages that write and run .pte files."""

from __future__ import annotations

from pathlib import Path

from edgekit.targets.toolchains.toolchain import Toolchain

#: Its file has what writing through XNNPACK and running need: not coremltools, pandas, scikit-learn
#: and others that the package asks for.
TOOLCHAIN = Toolchain(
    name="executorch",
    title="ExecuTorch",
    package="executorch",
    modules=("executorch.exir", "executorch.backends.xnnpack", "executorch.runtime"),
    licence="BSD-3-Clause",
    requirements=Path(__file__).with_name("executorch.txt"),
    installed_mb=380,
    download_mb=51,
    borrows=("torch",),
)
