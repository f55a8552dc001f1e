"""Where the pictures that a command draws of photos are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath


def beside(photos: Sequence[StrPath]) -> Path | None:
    """Where pictures are written unless it is said: here; nowhere without photos."""
    return Path() if photos else None


#: Endings of pictures whose every pixel counts, and of any other.
EXACT, ANY = (".png",), (".png", ".jpg", ".jpeg")


def choose_places(
    photos: Sequence[StrPath],
    target: StrPath | None,
    ending: str,
    endings: Sequence[str] = EXACT,
) -> list[Path | None]:
    """Where each photo's picture is written; None for nowhere.

    Args:
        photos: without any, one picture is of a drawn photo.
        target: a file, or a folder for several.
        ending: of names in a folder, behind that of the photo.
        endings: that a file may have.

    Raises:
        UsageError: the target is no name for so many pictures, or a photo would be overwritten.
    """
    count = max(len(photos), 1)
    if target is None:
        return [None] * count
    target = Path(target)
    if not target.is_dir():
        if count > 1:
            raise UsageError(
                f"{target} is no folder for {count} pictures", hint="name one that is there"
            )
        found = [target]
    else:
        found = [target / f"{Path(photo).stem}{ending}" for photo in photos or ("test-picture",)]
    given = {Path(photo).resolve() for photo in photos}
    for place in found:
        if place.resolve() in given:
            raise UsageError(f"{place} would be overwritten", hint="name another file")
        if place.suffix.lower() not in endings:
            hint = f"end it in {' or '.join(endings)}"
            raise UsageError(f"{place} is no name for a picture", hint=hint)
    if len(set(found)) < len(found):
        raise UsageError("two photos have the same name", hint="one command for each")
    return list(found)


def write_picture(place: StrPath | None, make: Callable[[], Image.Image]) -> str | None:
    """Writes a picture; returns its name, None where it is written nowhere."""
    if place is None:
        return None
    try:
        make().save(Path(place))
    except OSError as error:
        raise UsageError(f"{place} cannot be written", cause=error.strerror) from error
    return str(place)
