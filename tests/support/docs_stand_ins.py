"""What the examples of the documentation name: photos, weights, files and runs, all small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_in import compiled_model
from tiny_tflite import float_io

from edgekit.cli import run
from edgekit.networks.efficientnet import pretrained
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS

CLASSES = ("daisy", "roses", "tulips")
COLOURS = ((240, 230, 90), (200, 40, 60), (120, 60, 200))


def publish(names: Iterable[str], folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Publishes random weights of variants on a mirror, which is a folder."""
    rows = {}
    folder.mkdir(exist_ok=True)
    for name in names:
        row = replace(pretrained.find(name), file=f"{name}.safetensors", hash=None)
        build_graph(SPECS[name], seed=7).save(folder / row.file)
        rows[name] = replace(row, source="edgekit", classes=1000)
    patch.setattr(pretrained, "_registry", lambda: rows)
    patch.setenv("EDGEKIT_MIRROR", str(folder))
    patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))


def draw_photos(folder: Path, each: int = 14) -> None:
    """Draws photos of the three classes, and the single ones that examples name."""
    rng = np.random.default_rng(0)

    def draw(path: Path, colour: tuple[int, ...]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(rng.normal(colour, 30, (72, 80, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(path)

    for name, colour in zip(CLASSES, COLOURS, strict=True):
        for number in range(each):
            draw(folder / "photos" / name / f"{number}.jpg", colour)
            draw(folder / "unlabelled-photos" / f"{name}{number}.jpg", colour)
    for single in ("daisy.jpg", "street.jpg", "photo.jpg"):
        draw(folder / single, COLOURS[0])


def build_runs(folder: Path) -> None:
    """Builds one run, and puts it and its files under all the names that examples use."""
    out = folder / "runs" / "b0-DATE"
    words = f"build b0 --data {folder / 'photos'} --epochs 1 --out {out} --quiet"
    targets = "--target tflite --target openvino --target onnx"
    fast = "--calibration-count 20 --ranges minmax --threads 1"
    assert run([*words.split(), *targets.split(), *fast.split()]) == 0
    for name in ("runs/b0-2026-11-24", "runs/b0-2026-11-23", "runs/v2-b0-DATE", "RUN"):
        shutil.copytree(out, folder / name)
    for name, source in {
        "MODEL.tflite": "b0-w8a8-static.tflite",
        "FILE.tflite": "b0-w8a8-static.tflite",
        "model.tflite": "b0-w8a8-static.tflite",
        "model-fp32.tflite": "b0-fp32.tflite",
    }.items():
        shutil.copy(out / source, folder / name)
    (folder / "MODEL_edgetpu.tflite").write_bytes(compiled_model())
    answers = np.random.default_rng(0).normal(0, 1, (40, 3))
    header = {"log": 1, "model": "m", "kind": "logit", "labels": list(CLASSES)}
    time = "2026-11-30T00:00:00+00:00"
    lines = [header, *({"time": time, "scores": list(row), "ms": 1.0} for row in answers)]
    (folder / "answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "devices.txt").write_text("local:  # this machine\n")
    (folder / "FLOAT.tflite").write_bytes(float_io().pack())
    build_graph(SPECS["v2-b0"], seed=3).save(folder / "FILE")
