"""Reports as a run on the flower photos would make them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from edgekit.report import Document, Latency, Row
from edgekit.report.document import Accuracy, Timing
from edgekit.tasks.classification.evaluation import evaluate_answers
from edgekit.tasks.classification.page import Miss, WorstPhoto

FLOWERS = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]


def latency(median: float) -> Latency:
    return Latency(
        init=31.4, first=2.1 * median, median=median, p5=0.97 * median, p95=1.12 * median,
        n=200, threads=2,
    )  # fmt: skip


def row(stage: str, top1: float, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "stage": stage,
        "runtime": "torch 2.13" if stage in ("fp32-torch", "w8a8-sim") else "LiteRT 2.3",
        "n": 736,
        "top1": top1,
        "top5": 1.0,
        "top1_ci95": [top1 - 0.0187, top1 + 0.0163],
        "agreement": 1.0,
        "kl": 0.0,
        "drop_pp": 0.0,
        "drop_se_pp": 0.0,
        "size_bytes": None,
        "latency_ms": None,
    }
    return cast(Row, values | changes)


def timing(threads: int, median: float, throttled: Sequence[str] = ()) -> Timing:
    sample = {"temperature_c": 48.3, "clock_mhz": 1800.0, "governor": "ondemand"}
    return Timing(
        delegate="xnnpack", threads=threads, load=6.5, first=1.1 * median, median=median,
        p5=0.97 * median, p95=1.12 * median, n=200, memory_bytes=54_400_000,
        runtime_memory_bytes=38_000_000, throttled=list(throttled),
        sensors={"before": sample, "during": [], "after": sample | {"temperature_c": 71.6}},
    )  # fmt: skip


def answers(top1: float, agreement: float, differing: int, largest: float) -> Accuracy:
    return Accuracy(
        delegate="xnnpack", n=200, top1=top1, agreement=agreement, differing=differing,
        largest_difference=largest,
    )  # fmt: skip


def answers_of(
    classes: int, photos: int, sure: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Logits and labels of a network that is mostly right."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, photos)
    logits = rng.normal(size=(photos, classes)) + sure * np.eye(classes)[labels]
    return logits.astype(np.float32), labels


LOGITS_AND_LABELS = answers_of(5, 736, 3.5)

DOCUMENT = Document(
    schema_version=1,
    edgekit_version="0.1.0",
    model="lite0",
    output="logits",
    command="edgekit build lite0 --data photos/train --val photos/val --target edgetpu --epochs 8",
    created="2026-11-22T08:40:11+00:00",
    rows=[
        row("fp32-torch", 685 / 736),
        row("fp32-tflite", 685 / 736, size_bytes=13_512_904, latency_ms=latency(9.62)),
        row("w8a8-sim", 684 / 736, agreement=0.9905, drop_pp=100 / 736, drop_se_pp=0.27),
        row(
            "w8a8-tflite",
            683 / 736,
            agreement=0.9891,
            kl=0.00417,
            drop_pp=200 / 736,
            drop_se_pp=0.30,
            size_bytes=4_004_208,
            latency_ms=latency(8.41),
        ),
    ],
    stages=[
        {"name": "data", "seconds": 1.7, "cached": False, "detail": "2,934 + 736 photos"},
        {"name": "train", "seconds": 214.9, "cached": True, "detail": "8 epochs"},
        {"name": "calibrate", "seconds": 14.2, "cached": False, "detail": "256 photos"},
        {"name": "convert", "seconds": 9.3, "cached": False, "detail": "4.0 MB"},
        {"name": "compile edgetpu", "seconds": 0.1, "cached": False, "detail": ""},
        {"name": "evaluate", "seconds": 61.4, "cached": False, "detail": "4 times 736 photos"},
    ],
    warnings=["2 of 3,672 photos could not be read: `roses/broken.jpg`, `tulips/empty.jpg`"],
    data={
        "source": "photos/train",
        "builtin": False,
        "labels": FLOWERS,
        "n_train": 2934,
        "n_val": 736,
        "n_calibration": 256,
        "unreadable": 2,
    },
    preprocessing={
        "resolution": 224,
        "mean": [127.0, 127.0, 127.0],
        "std": [128.0, 128.0, 128.0],
        "labels": FLOWERS,
        "crop_fraction": 1.0,
        "interpolation": "bicubic",
        "layout": "NHWC",
        "color": "RGB",
    },
    training={
        "history": [
            {
                "epoch": epoch,
                "train_loss": 0.42 + 1.1 * 0.55**epoch,
                "val_top1": 0.9307 - 0.19 * 0.6**epoch,
                "learning_rate": 0.016 * 0.9**epoch,
                "seconds": 26.9,
                "images_per_s": 312.4,
                "waiting": 0.034,
                "resolution": 128 if epoch < 4 else 176 if epoch < 7 else 224,
            }
            for epoch in range(1, 9)
        ],
        "recipe": {"optimizer": "adamw", "learning_rate": 0.002, "dropout": None},
    },
    earlier=[],
    evaluation=evaluate_answers("fp32-torch", *LOGITS_AND_LABELS, FLOWERS),
    quantization={
        "scheme": "w8a8-static",
        "risk": "low: relu6 without squeeze-excite quantizes well",
        "float_layers": [],
        "method": "mse",
        "repair": "ptq",
        "search": None,
        "qat": None,
        "noise_floor": {"n": 100, "agreement": 0.98, "kl": 0.0021},
        "methods": {"mse": 62, "fixed": 2},
        "worst": [
            {
                "name": "block3a_expand",
                "low": 0.0,
                "high": 4.81,
                "method": "mse",
                "why": "as asked",
                "sqnr_db": 27.31,
                "clipped": 0.000123,
            }
        ],
        "calibration_digest": "sha256:1f0c9d27b1a0f3c4",
        "tensors": 64,
        "input_mean": 127.0,
        "input_std": 128.0,
    },
    chips=[
        {
            "target": "npu",
            "runtime": "NPU reference model 2.1",
            "kind": "reference model",
            "row": row("w8a8-npu", 0.93, agreement=0.99, kl=0.004, drop_pp=0.0, drop_se_pp=0.0),
            "same": 0.99,
            "agreement_int8": 1.0,
            "first_difference": "12 CONV_2D, by 1 step",
            "figures": {
                "latency_ms": 16.7,
                "latency_by": "the compiler's estimate for NPU-128",
                "memory": {"SRAM": 1_474_000, "flash": 2_635_000},
                "mapped": 63,
                "on_cpu": 0,
                "fits": True,
            },
        },
        {
            "target": "unseen",
            "runtime": None,
            "kind": None,
            "row": None,
            "same": None,
            "agreement_int8": None,
            "first_difference": None,
            "figures": {
                "latency_ms": None,
                "latency_by": None,
                "memory": {},
                "mapped": None,
                "on_cpu": None,
                "fits": None,
            },
        },
    ],
    devices=[
        {
            "device": "local:",
            "how": "ai_edge_litert 2.3.0, Python 3.11.7",
            "facts": {},
            "timings": [timing(1, 4.2)],
            "accuracy": [answers(0.93, 1.0, 0, 0.0)],
            "error": None,
        },
        {
            "device": "ssh://pi@<b>raspberry</b>",
            "how": "tflite_runtime 2.14.0, Python 3.11.2",
            "facts": {},
            "timings": [timing(1, 81.4), timing(4, 30.5, ["its clock fell from 1800 to 1200 MHz"])],
            "accuracy": [answers(0.935, 0.995, 197, 5.0)],
            "error": None,
        },
        {
            "device": "adb://R58",
            "how": "",
            "facts": {},
            "timings": [],
            "accuracy": [],
            "error": "the connection to adb://R58 broke off",
        },
    ],
    targets=[
        {
            "name": "tflite",
            "status": "ready",
            "message": "Runs wherever LiteRT runs.",
            "files": ["lite0-w8a8.tflite"],
        },
        {
            "name": "edgetpu",
            "status": "not compiled",
            "message": "edgetpu_compiler is not installed. On an x86-64 Linux machine that has it: "
            "`edgetpu_compiler --min_runtime_version 13 lite0-w8a8.tflite`",
            "files": ["lite0-w8a8.tflite"],
        },
    ],
    files=[
        {"path": "lite0-fp32.tflite", "sha256": "5a" * 32, "bytes": 13_512_904},
        {"path": "lite0-w8a8.tflite", "sha256": "c3" * 32, "bytes": 4_004_208},
        {"path": "manifest.json", "sha256": "0f" * 32, "bytes": 8_120},
    ],
    host={
        "machine": "x86_64",
        "cpu": "AMD EPYC",
        "cores": 2,
        "python": "3.11.2",
        "versions": {"torch": "2.13.0", "tensorflow-cpu": "2.21.0", "ai-edge-litert": "2.3.0"},
    },
)


@pytest.fixture
def document() -> Document:
    """A full report of a run on 5 flower classes, free to be changed."""
    return copy.deepcopy(DOCUMENT)


@pytest.fixture
def misses() -> list[Miss]:
    """Nine photos (drawn, not real) that int8 got wrong."""
    rng = np.random.default_rng(7)
    photos = []
    for i in range(9):
        rough = rng.integers(40, 230, size=(7, 7, 3)).astype(np.uint8)
        pixels = rough.repeat(32, axis=0).repeat(32, axis=1)
        truth, got = FLOWERS[i % 5], FLOWERS[(i + 2) % 5]
        photos.append(Miss(pixels, f"{truth}/{i:05d}.jpg", truth, truth, got))
    return photos


@pytest.fixture
def worst(misses: list[Miss]) -> list[WorstPhoto]:
    """Four photos (drawn, not real) with a high loss."""
    return [
        WorstPhoto(miss.pixels, miss.name, miss.truth, miss.got, 0.993 - 0.1 * i, 5.2 - i)
        for i, miss in enumerate(misses[:4])
    ]


@pytest.fixture
def trained(document: Document) -> Document:
    """What a run that only trains reports: no quantization, no target, no device."""
    document.update(
        command="edgekit train lite0 --data photos/train --val photos/val --epochs 8",
        rows=document["rows"][:1],
        stages=document["stages"][:2],
        warnings=[],
        quantization=None,
        targets=[],
        chips=[],
        devices=[],
        files=[
            {"path": "lite0.graph", "sha256": "5a" * 32, "bytes": 13_600_000},
            {"path": "history.csv", "sha256": "0f" * 32, "bytes": 812},
        ],
    )
    document["data"]["n_calibration"] = 0
    return document
