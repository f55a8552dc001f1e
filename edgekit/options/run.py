"""On which devices a build measures, where it writes, and what it reuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.options.fields import option
from edgekit.training.recipe import refuse


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class DeviceOptions:
    """The devices that the int8 file is measured on."""

    devices: tuple[str, ...] = option(
        (),
        "Measure the int8 file there too: ssh://[user@]host, adb://SERIAL; may be repeated.",
        "URL",
        everyday=True,
    )
    device_limit: int = option(
        200, "So many validation photos are for devices, evenly spread.", least=1
    )
    benchmark_binary: Path | None = option(
        None, "TensorFlow Lite's benchmark_model, for devices without Python.", "FILE"
    )

    def check(self) -> None:
        """Raises UsageError where a value cannot be used."""
        alone = self.benchmark_binary is not None and not self.devices
        refuse({"--benchmark-binary needs --device": not alone})


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class RunOptions:
    """The run: its folder, its seed, its threads, and what it reuses."""

    out: Path | None = option(None, "Folder of the run. [runs/MODEL-DATE]", everyday=True)
    seed: int = option(0, "Of everything random.", least=0)
    threads: int | None = option(None, "CPU threads. [all cores]", least=1)
    resume: bool = option(True, "Reuse the finished stages of an earlier run.")
    overwrite: bool = option(False, "Let --out replace a run of another model or data.")
    dry_run: bool = option(False, "Show the stages and which are done, run nothing.")
