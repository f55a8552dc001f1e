"""Which package brings TFLite Micro's interpreter."""

from __future__ import annotations

from pathlib import Path

from edgekit.targets.toolchains.toolchain import Toolchain

TOOLCHAIN = Toolchain(
    name="tflm",
    title="TFLite Micro's interpreter",
    package="tflite-micro",
    modules=("tflite_micro",),
    licence="Apache-2.0",
    requirements=Path(__file__).with_name("tflite-micro.txt"),
    note="wheels are for Linux on x86-64 alone",
    extra="tflm",
    installed_mb=79,
    download_mb=18,
)
