"""Small OpenVINO models, as `edgekit.converters.openvino.write` writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.passes import prepare

SIDE, CLASSES, MEAN, STD = 32, 4, 127.0, 128.0
LABELS = ("tench", "great white shark", "<&\"'>", "Föhre")
#: Whether 8-bit sums are exact here: elsewhere two products of a byte and a weight may saturate.
_CPU_INFO = Path("/proc/cpuinfo")
VNNI = _CPU_INFO.exists() and "vnni" in _CPU_INFO.read_text()
RECORD = Preprocessing(SIDE, (MEAN,) * 3, (STD,) * 3, LABELS)
PIXELS = np.kron(
    np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3)), np.ones((1, 8, 8, 1))
).astype(np.uint8)


def float_graph(name: str = "lite0") -> Graph:
    spec = replace(SPECS[name], width=0.1, depth=0.1)
    return prepare(build_graph(spec, classes=CLASSES, resolution=SIDE, seed=2))


def int8_graph(name: str = "lite0") -> Graph:
    graph, fixed = float_graph(name), fixed_ranges(float_graph(name), MEAN, STD)
    histograms = collect(graph, [RECORD.normalize(PIXELS)], skip=fixed)
    return quantize(graph, choose_ranges(histograms, "minmax") | fixed)


def write(path: Path, graph: Graph, *, half: bool = False, **options: Any) -> Path:
    from edgekit.converters.openvino.write import convert, save

    save(convert(graph, preprocessing=RECORD, **options), path, half=half)
    return path
