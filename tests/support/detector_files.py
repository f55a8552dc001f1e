"""Files of the narrow detector, as `edgekit build` writes them."""

from __future__ import annotations

import functools
from pathlib import Path

from detector_graph import ANCHORS, SIDE, int8, prepared

from edgekit.converters.tflite.about import About
from edgekit.converters.tflite.write import convert
from edgekit.data.boxes.anchors import OLD_RATIOS, Anchors
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.detection.outputs import with_detections
from edgekit.networks.graph import Graph
from edgekit.tasks.detection.task import TASK

#: As many at each place of levels of 10, 5 and 3 pixels as the network has.
BOXES = Anchors(scale=3.0, ratios=OLD_RATIOS[:ANCHORS], octaves=1, levels=(1, 2, 3))
LABELS = ("cell", "disc", "ring")
MOST = 20


def record(fit: str = "stretch") -> Preprocessing:
    """How a photo becomes the input; that of `map_graphs` is (pixel - 127) / 128."""
    return Preprocessing(
        SIDE, (127.0,) * 3, (128.0,) * 3, LABELS, fit=fit, task="detection", anchors=BOXES
    )


@functools.cache
def graph_of(output: str = "detections", is_float: bool = False) -> Graph:
    """The network, int8 unless asked for in float, with one of its ends."""
    graph = prepared() if is_float else int8()
    return with_detections(graph, BOXES, max_detections=MOST) if output == "detections" else graph


@functools.cache
def contents(
    output: str = "detections", io: str = "uint8", is_float: bool = False, fit: str = "stretch"
) -> bytes:
    """The bytes of a file."""
    graph = graph_of(output, is_float)
    said = TASK.describe(graph, LABELS)
    about = About(
        name="narrow",
        description=said.text,
        labels=said.labels,
        preprocessing=record(fit),
        outputs=said.outputs,
    )
    return convert(graph, io="float32" if is_float else io, about=about)


def write_detector_file(path: Path, output: str = "detections", **fields: object) -> Path:
    """Writes `contents` to a file."""
    path.write_bytes(contents(output, **fields))  # type: ignore[arg-type]
    return path
