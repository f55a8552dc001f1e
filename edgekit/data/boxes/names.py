"""Files that name the classes of boxes, a class a line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from edgekit.data.class_names import check_names
from edgekit.data.label_files import read_labels
from edgekit.errors import UsageError

#: Ours and those of LabelImg, darknet and Roboflow.
NAMES = (
    *("classes.txt", "classes.names", "obj.names", "labels.txt", "class_names.txt"),
    *("predefined_classes.txt", "_darknet.labels"),
)


class ClassNames(NamedTuple):
    """The classes of a data set.

    Attributes:
        labels: by index; empty where no file names them.
        source: the file, for messages; '' without one.
    """

    labels: tuple[str, ...] = ()
    source: str = ""


def find_names(*folders: Path) -> ClassNames:
    """Returns the classes that a file in the first of these folders names.

    Raises:
        UsageError: the file cannot be used.
    """
    for folder in folders:
        for name in NAMES:
            path = folder / name
            if not path.is_file():
                continue
            try:
                labels = read_labels(path.read_bytes())
            except OSError as error:
                raise UsageError(f"{path} cannot be read", cause=str(error)) from error
            if not labels:
                raise UsageError(f"{path} names no class", hint="write a name a line")
            return ClassNames(check_names(labels, str(path)), str(path))
    return ClassNames()
