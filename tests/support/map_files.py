"""Small segmenters in files: networks of `map_graphs`, written with what they say of themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from map_graphs import aspp, quantized, unet

from edgekit.converters.tflite.about import About
from edgekit.converters.tflite.write import convert
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.tasks.registry import find_task

SIDE = 32
NETWORKS = {"unet": unet, "aspp": aspp}
LABELS = {
    "unet": ("background", "road", "car", "tree", "sky"),
    "aspp": ("background", "road", "car", "tree", "sky", "pole", "sign"),
}


def preprocessing(network: str = "unet", fit: str = "pad") -> Preprocessing:
    """How a photo becomes the input; that of `map_graphs` is (pixel - 127) / 128."""
    return Preprocessing(
        SIDE,
        (127.0,) * 3,
        (128.0,) * 3,
        LABELS[network],
        crop_fraction=1.0,
        interpolation="bilinear",
        task="segmentation",
        fit=fit,
    )


@cache
def graph_of(network: str = "unet", output: str = "logits", is_float: bool = False) -> Graph:
    """A network for square photos, int8 unless asked for in float."""
    made = NETWORKS[network](output, SIDE)
    return made if is_float else quantized(made)


@cache
def contents(
    network: str = "unet",
    output: str = "logits",
    io: str = "uint8",
    fit: str = "pad",
    is_float: bool = False,
) -> bytes:
    """Its .tflite file."""
    graph, record = graph_of(network, output, is_float), preprocessing(network, fit)
    said = find_task(record.task).describe(graph, record.labels)
    about = About(
        name=network,
        description=said.text,
        labels=said.labels,
        preprocessing=record,
        outputs=said.outputs,
    )
    return convert(graph, io="float32" if is_float else io, about=about)


def write_map_file(path: Path, *args: str, **fields: object) -> Path:
    """Writes `contents` to a file."""
    path.write_bytes(contents(*args, **fields))  # type: ignore[arg-type]
    return path


def photo(width: int = 40, height: int = 28, seed: int = 3) -> np.ndarray:
    """A photo of patches, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (6, 6, 3)).repeat(9, 0).repeat(9, 1)
    noise = rng.normal(0, 20, (height, width, 3))
    return (patches[:height, :width] + noise).round().clip(0, 255).astype(np.uint8)
