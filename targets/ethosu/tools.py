"""The makers' tools of the target: Arm's compiler, and Arm's reference model of its arithmetic."""

from __future__ import annotations

from pathlib import Path

from edgekit.targets.toolchains.toolchain import Toolchain

_HERE = Path(__file__).parent

VELA = Toolchain(
    name="ethosu",
    title="Arm's Vela",
    package="ethos-u-vela",
    modules=("ethosu",),
    licence="Apache-2.0",
    requirements=_HERE / "vela.txt",
    extra="ethosu",
    installed_mb=80,
    download_mb=19,
)

#: It pins an older numpy and an older flatbuffers than ours.
TOSA = Toolchain(
    name="tosa",
    title="Arm's TOSA reference model",
    package="tosa-tools",
    modules=("tosa_converter_for_tflite",),
    licence="Apache-2.0",
    requirements=_HERE / "tosa.txt",
    installed_mb=330,
    download_mb=75,
)
