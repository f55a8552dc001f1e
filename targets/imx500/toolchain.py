"""The packages that quantize for the sensor, and convert."""

from __future__ import annotations

from pathlib import Path

from edgekit.targets.toolchains.toolchain import Program, Toolchain

#: MCT itself cannot be imported before the worker has declared two operators of torchvision's.
TOOLCHAIN = Toolchain(
    name="imx500",
    title="Sony's converter",
    package="imx500-converter",
    modules=("mct_quantizers", "onnxruntime_extensions", "imx500_converter"),
    licence="Sony's: the package refers to a written agreement; MCT is Apache-2.0",
    requirements=Path(__file__).with_name("imx500.txt"),
    note="Sony's files call the converter confidential: do not pass it on; Linux on x86-64 only",
    installed_mb=1000,
    download_mb=290,
    borrows=("torch",),
    programs=(Program("java", "apt install default-jre-headless"),),
)
