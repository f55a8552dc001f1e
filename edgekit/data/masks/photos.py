"""Photos on disk with their masks, served by index."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from edgekit.data.images import UnreadableImageError
from edgekit.data.masks.reading import MaskError, MaskFormat, decode_mask
from edgekit.data.photo_files import FilePhotos, reason_of
from edgekit.errors import UsageError
from edgekit.system.quoting import quote_path, unquote_path

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class MaskFile:
    """A mask that was read once.

    Attributes:
        path: the file, absolute.
        sha256: of its bytes, in hex.
        turn: what brings it upright, as the photo is; None where it is.
    """

    path: Path
    sha256: str
    turn: Image.Transpose | None = None

    def load(self, form: MaskFormat) -> Image.Image:
        """Decodes it; see `decode_mask` for what it raises.

        Raises:
            OSError: the file cannot be read.
        """
        mask = decode_mask(self.path.read_bytes(), form)
        return mask if self.turn is None else mask.transpose(self.turn)


@dataclass(frozen=True, eq=False)
class MaskedPhotos(FilePhotos):
    """Photos with a mask each; a `edgekit.data.image_set.PhotoSet`.

    Attributes:
        masks: one for each photo.
        form: what the values of the masks mean.
    """

    masks: tuple[MaskFile, ...]
    form: MaskFormat

    def label(self, index: int) -> Image.Image:
        """Decodes the mask of one photo: mode L, the photo's upright size, 255 for no class.

        Raises:
            UsageError: the file has vanished or was damaged since it was scanned.
        """
        mask = self.masks[index]
        try:
            return mask.load(self.form)
        except (OSError, UnreadableImageError, MaskError) as error:
            raise UsageError(
                f"the mask {mask.path} cannot be read any more",
                cause=error.reason if isinstance(error, MaskError) else reason_of(error),
                hint="put it back, or run again: the photos are then scanned again",
            ) from error

    def digest(self) -> str:
        """Returns the SHA-256 over names and contents, of the masks too, in hex."""
        digest = hashlib.sha256(f"{super().digest()} {self.form.to_dict()}\n".encode())
        for mask in self.masks:
            digest.update(f"{mask.sha256} {mask.turn}\n".encode())
        return digest.hexdigest()

    def subset(self, indices: Sequence[int]) -> Self:
        """Returns the photos at these indices, in this order."""
        return replace(super().subset(indices), masks=tuple(self.masks[i] for i in indices))

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values, in columns; paths of masks are relative to `root`."""
        record = super().to_dict()
        root = unquote_path(record["root"])
        return record | {
            "kind": "masked",
            "masks": [quote_path(os.path.relpath(mask.path, root)) for mask in self.masks],
            "mask_sha256": [mask.sha256 for mask in self.masks],
            "turns": [None if mask.turn is None else int(mask.turn) for mask in self.masks],
            "form": self.form.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> MaskedPhotos:
        """Reads what `to_dict` wrote; the files are not looked at."""
        photos = FilePhotos.from_dict(record)
        root = unquote_path(record["root"])
        masks = tuple(
            MaskFile(
                Path(os.path.normpath(os.path.join(root, unquote_path(path)))),
                sha256,
                None if turn is None else Image.Transpose(turn),
            )
            for path, sha256, turn in zip(
                record["masks"], record["mask_sha256"], record["turns"], strict=True
            )
        )
        return cls(
            places=photos.places,
            names=photos.names,
            labels=photos.labels,
            hashes=photos.hashes,
            masks=masks,
            form=MaskFormat.from_dict(record["form"]),
        )
