"""The options of Vela that a user may want, checked before it is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import UsageError, did_you_mean
from edgekit.system.sizes import parse_bytes
from edgekit.targets.base import TIMEOUT_S, option

CUSTOM_OP = "ethos-u"  # what Vela puts in the place of all that it maps
ENDING = "_vela"  # of the names of what it makes
ACCELERATORS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
STRATEGIES = ("Performance", "Size")
OWN_INI = "Arm/vela.ini"  # in Vela itself
#: By family: system configuration and memory mode, those that Vela itself falls back on.
DEFAULTS = {
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
    "ethos-u85": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
}
#: What Vela's own file has.
SYSTEMS = (
    "Ethos_U55_Deep_Embedded",
    "Ethos_U55_High_End_Embedded",
    "Ethos_U65_Embedded",
    "Ethos_U65_Mid_End",
    "Ethos_U65_High_End",
    "Ethos_U65_Client_Server",
    "Ethos_U85_SYS_Flash_Low",
    "Ethos_U85_SYS_Flash_High",
    "Ethos_U85_SYS_DRAM_Low",
    "Ethos_U85_SYS_DRAM_Mid",
    "Ethos_U85_SYS_DRAM_High",
)
MODES = (
    "Sram_Only",
    "Shared_Sram",
    "Dedicated_Sram",
    "Dedicated_Sram_256KB",
    "Dedicated_Sram_384KB",
    "Dedicated_Sram_512KB",
)


@dataclass(frozen=True)
class VelaOptions:
    """What Vela is asked for.

    Attributes:
        config: the accelerator, by family and multiply-accumulates in a cycle.
        system_config: clock and memories, a section of the .ini file; by default the family's.
        memory_mode: what is kept in which memory, likewise.
        ini: a file with other sections; by default Vela's own.
        sram: SRAM that Vela tries to do with, such as ``512K``; by default the memory mode's.
        optimise: for ``Performance`` or for ``Size``.
        timeout_s: how many seconds Vela may take.

    Raises:
        UsageError: a value does not exist or is out of its range.
    """

    config: str = option("ethos-u55-128", "The NPU: ethos-u55-32 to ethos-u85-2048.", "NPU")
    system_config: str | None = option(None, "Clock and memories: a section of Vela's .ini file.")
    memory_mode: str | None = option(None, "What is in which memory: likewise.")
    ini: str | None = option(None, "A file with sections of your own, in place of Vela's.")
    sram: str | None = option(None, "SRAM to do with, as 512K or 1M.", "BYTES")
    optimise: str = option("Performance", "For Performance or for Size.")
    timeout_s: int = option(TIMEOUT_S, "Seconds that the compiler may take.", name="timeout")

    def __post_init__(self) -> None:
        _known("--config", self.config, ACCELERATORS)
        _known("--optimise", self.optimise, STRATEGIES)
        if self.ini is None:
            _known("--system-config", self.system, SYSTEMS)
            _known("--memory-mode", self.memory, MODES)
        elif None in (self.system_config, self.memory_mode):
            raise UsageError("--ini needs --system-config and --memory-mode, sections of the file")
        if self.timeout_s < 1:
            raise UsageError(f"--timeout {self.timeout_s} is less than 1 second")
        _ = self.sram_bytes

    @property
    def system(self) -> str:
        """The system configuration."""
        return self.system_config or DEFAULTS[self.family][0]

    @property
    def memory(self) -> str:
        """The memory mode."""
        return self.memory_mode or DEFAULTS[self.family][1]

    @property
    def family(self) -> str:
        """The accelerator without its size."""
        return self.config.rpartition("-")[0]

    @property
    def sram_bytes(self) -> int | None:
        """Bytes of SRAM to do with; None where the memory mode decides."""
        return None if self.sram is None else parse_bytes("--sram", self.sram)

    def words(self) -> list[str]:
        """Returns Vela's command line without the file."""
        line = ["--accelerator-config", self.config]
        line += ["--config", OWN_INI if self.ini is None else str(Path(self.ini).resolve())]
        line += ["--system-config", self.system, "--memory-mode", self.memory]
        line += ["--optimise", self.optimise]
        if self.sram_bytes is not None:
            line += ["--arena-cache-size", str(self.sram_bytes)]
        return line


def _known(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{flag} '{value}' does not exist", hint=did_you_mean(value, known))
