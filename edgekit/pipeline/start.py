"""The weights that a build starts from: none, a file, or the published ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.console import Progress
from edgekit.errors import UsageError
from edgekit.hashing import hash_files
from edgekit.options import BuildOptions
from edgekit.spec import SPECS


@dataclass(frozen=True)
class Start:
    """Weights that are on this machine, or will be.

    Attributes:
        name: as the run calls them: ``none``, ``imagenet`` or a path.
        path: the user's file; None for random weights and for published ones.
        source: whose tensor names and padding the file has, as `load_weights` takes it.
        model: whose published weights they are, else None.
        url: where those come from.
        mirror: where the user wants them to come from.
    """

    name: str
    path: Path | None = None
    source: str = "auto"
    model: str | None = None
    url: str | None = None
    mirror: str | None = None

    def hash(self) -> str | None:
        """What tells one file from another: its SHA-256, or the address of a published one."""
        return hash_files(files_of(self.path)) if self.path else self.url

    def file(self, progress: Progress, note: Callable[[str], None]) -> Path | None:
        """Returns the file, downloaded if it must be; None for random weights.

        Raises:
            EdgekitError: it cannot be had.
        """
        if self.model is None:
            return self.path
        from edgekit import pretrained

        return pretrained.fetch(self.model, mirror=self.mirror, progress=progress, note=note)


def files_of(path: Path) -> list[Path]:
    """The files that hold the weights: one, or the index and the data of a TF1 checkpoint."""
    from edgekit.converters.weight_files import find_checkpoint

    prefix = find_checkpoint(path)
    return sorted(prefix.parent.glob(f"{prefix.name}.[id]*")) if prefix else [path]


def find_start(options: BuildOptions) -> Start:
    """Says where the weights are; downloads nothing.

    Raises:
        UsageError: there are no published weights for this variant.
    """
    if options.start == "none":
        return Start("none")
    if options.start != "imagenet":
        return Start(options.start, Path(options.start), options.weights_source)
    if options.spec.name not in SPECS:
        raise UsageError(
            f"nobody published weights for {options.spec.name}",
            cause="a network that is scaled anew has to be trained from the start",
            hint="--weights none",
        )
    from edgekit import pretrained

    entry = pretrained.find(options.spec.name)
    return Start("imagenet", None, entry.source, entry.model, entry.url, options.mirror)
