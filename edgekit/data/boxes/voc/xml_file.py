"""One XML file of Pascal VOC's form, which LabelImg, CVAT and Roboflow write too."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from edgekit.data.boxes.annotations import MOST_PIXELS, Four
from edgekit.data.class_names import canonical
from edgekit.errors import UsageError
from edgekit.system.xml_tree import parse_xml

_HINT = (
    "an annotation has an object for each box, with a name and a bndbox of xmin, ymin, xmax and "
    "ymax in pixels; repair the file, or remove it with its photo"
)
#: The challenge's own photos count pixels from 1, and their last column and row is the box's own.
_CHALLENGE = "The VOC"
#: A photo of a crowd has some hundred boxes of ten elements; a hundredfold is an attack.
_MOST_ELEMENTS = 200_000


class VocObject(NamedTuple):
    """One object.

    Attributes:
        number: counted from 1.
        name: of its class.
        corners: top, left, bottom and right, in points between pixels.
        is_difficult: what the challenge does not count.
    """

    number: int
    name: str
    corners: Four
    is_difficult: bool


class VocFile(NamedTuple):
    """What one file says.

    Attributes:
        photo: the name of its photo, '' if it says none.
        size: width and height of the photo, if it does.
        objects: in the order of the file.
    """

    photo: str
    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


def read_voc_xml(path: Path) -> VocFile:
    """Reads a file.

    Corners are taken as points between pixels, from 0 on, as the tools of today write them. Those
    of the challenge, whose ``<database>`` begins with "The VOC", are pixels, counted from 1.

    Raises:
        UsageError: it is no such file.
    """
    try:
        root = parse_xml(path.read_bytes(), _MOST_ELEMENTS)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=str(error)) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is no XML that can be used", cause=str(error), hint=_HINT
        ) from error
    if root.tag != "annotation":
        raise _broken(path, f"its root is <{root.tag[:40]}>, not <annotation>")
    first = 1 if (root.findtext("source/database") or "").startswith(_CHALLENGE) else 0
    objects = tuple(
        _object(path, number, one, first) for number, one in enumerate(root.findall("object"), 1)
    )
    photo = (root.findtext("filename") or "").strip()
    return VocFile(photo, _size(path, root), objects)


def _object(path: Path, number: int, one: Element, first: int) -> VocObject:
    where = f"object {number}"
    name = canonical(one.findtext("name") or "")
    if not name:
        raise _broken(path, f"{where} has no name")
    box = one.find("bndbox")
    if box is None:
        raise _broken(path, f"{where} ({name}) has no bndbox")
    left, top, right, bottom = (
        _number(path, f"{where} ({name})", box, tag) for tag in ("xmin", "ymin", "xmax", "ymax")
    )
    is_difficult = (one.findtext("difficult") or "").strip() not in ("", "0")
    return VocObject(number, name, (top - first, left - first, bottom, right), is_difficult)


def _number(path: Path, where: str, box: Element, tag: str) -> float:
    text = (box.findtext(tag) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = MOST_PIXELS
    if not abs(value) < MOST_PIXELS:
        raise _broken(path, f"{where}: {tag} is {text[:40] or 'missing'}, not a number of pixels")
    return value


def _size(path: Path, root: Element) -> tuple[int, int] | None:
    """Width and height; tools that do not know them write 0."""
    size = root.find("size")
    if size is None:
        return None
    width, height = (round(_number(path, "size", size, tag)) for tag in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None


def _broken(path: Path, cause: str) -> UsageError:
    return UsageError(f"{path} cannot be read as an annotation", cause=cause, hint=_HINT)
