"""The few lines of Python that feed a photo to the finished model, as it was fed here."""

from __future__ import annotations

from typing import Any

from edgekit.data.preprocessing import DEFAULT_FIT, Preprocessing
from edgekit.report.document import Document, task_of
from edgekit.runs import model_file

MAX_INLINE_LABELS = 20
LABELS_FROM_REPORT = 'LABELS = json.load(open("report.json", encoding="utf-8"))["data"]["labels"]\n'

TEMPLATE = """\
{imports}import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

{labels}photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
{shown}
model = Interpreter({model!r})
model.allocate_tensors()
source, results = model.get_input_details()[0], model.get_output_details()
if source["dtype"] == np.int8:
    pixels = (pixels.astype(np.int16) - 128).astype(np.int8)
elif source["dtype"] == np.float32:
    mean, std = np.float32({mean}), np.float32({std})
    pixels = (pixels.astype(np.float32) - mean) / std
model.set_tensor(source["index"], pixels[np.newaxis])  # uint8: plain RGB bytes
model.invoke()
{reads}
{answer}
"""

#: How a photo becomes square, by `edgekit.data.placement.FITS`.
SHOWN = {
    "crop": """\
side = int({crop} * min(photo.size) + 1e-6)  # the centre square
left, top = (photo.width - side + 1) // 2, (photo.height - side + 1) // 2
box = (left, top, left + side, top + side)
pixels = np.array(photo.resize(({size}, {size}), Image.Resampling.{interpolation}, box=box))
""",
    "pad": """\
scale = {size} / max(photo.size)  # all of it, with a margin
width, height = (max(1, min({size}, round(length * scale))) for length in photo.size)
square = Image.new("RGB", ({size}, {size}), {margin})
part = photo.resize((width, height), Image.Resampling.{interpolation})
square.paste(part, (({size} - width) // 2, ({size} - height) // 2))
pixels = np.array(square)
""",
    "stretch": """\
pixels = np.array(photo.resize(({size}, {size}), Image.Resampling.{interpolation}))
""",
}

WEIGHTS = """\
import json
from pathlib import Path

import torch
from PIL import Image, ImageOps

from edgekit.networks.graph import Graph
from edgekit.networks.predict import to_answers, to_input
from edgekit.networks.torch_network import Network
from edgekit.data.preprocessing import Preprocessing

report = json.loads(Path("report.json").read_text(encoding="utf-8"))
preprocessing = Preprocessing.from_dict(report["preprocessing"])
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
pixels = preprocessing.pixels(photo)

network = Network(Graph.load(Path({graph!r}))).eval()
with torch.inference_mode():
    scores = to_answers(network(to_input(pixels[None], preprocessing, "cpu")))[0]
{answer}
"""


def python_snippet(document: Document) -> str | None:
    """Returns a complete program that classifies ``photo.jpg``; None where no model was made.

    It runs the TFLite file, or the trained weights where there is no other file.
    """
    paths = [file["path"] for file in document["files"]]
    model, page = model_file(paths), task_of(document).page
    record: dict[str, Any] = document["preprocessing"]
    if not record:
        return None
    if model is None:
        graph = next((path for path in paths if path.endswith(".graph")), None)
        return graph and _weights_snippet(graph, document["output"], page.answer)
    labels = document["data"]["labels"]
    int8 = document["quantization"]
    inline = len(labels) <= MAX_INLINE_LABELS
    found = page.answer_of(document["output"])
    classifies = found is not None
    reads, answer = found or (page.reads, "print(scores)  # embedding")
    names = f"LABELS = {labels!r}\n" if inline else LABELS_FROM_REPORT
    return TEMPLATE.format(
        imports="import json\n\n" if classifies and not inline else "",
        labels=names if classifies else "",
        reads=reads,
        answer=answer.format(labels="LABELS") if classifies else answer,
        shown=_shown(record),
        mean=int8["input_mean"] if int8 else record["mean"],
        std=int8["input_std"] if int8 else record["std"],
        model=model,
    )


def _shown(record: dict[str, Any]) -> str:
    """The lines that make uint8 pixels of a photo."""
    fit = record.get("fit", DEFAULT_FIT)
    return SHOWN[fit].format(
        crop=record["crop_fraction"],
        size=record["resolution"],
        interpolation=record["interpolation"].upper(),
        margin=Preprocessing.from_dict(record).margin if fit == "pad" else None,
    )


def _weights_snippet(graph: str, output: str, answer: str) -> str:
    answer = answer.format(labels="preprocessing.labels")
    if output != "logits":
        answer = "print(scores)  # embedding"
    return WEIGHTS.format(graph=graph, answer=answer)
