"""A run's folder as a build leaves it, of a network that was not trained: what `push` reads."""

from __future__ import annotations

from dataclasses import asdict

from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.runs import MANIFEST, PREPROCESSING, REPORT, STAGES, folder_name
from edgekit.system.files import write_json
from edgekit.training.outputs import GRAPH

LABELS = ("daisy", "rose", "tulip")
SIDE = 32
#: Of a folder that no file which leaves may name.
FOLDER = "/home/somebody/photos"


def row(stage, right):
    return {
        "stage": stage,
        "runtime": "torch 2" if stage == "fp32-torch" else "LiteRT 2",
        "n": 200,
        "top1": right,
        "top1_ci95": [right - 0.05, right + 0.04],
        "top5": 1.0,
        "agreement": 1.0,
        "kl": 0.001,
        "drop_pp": 0.5,
        "drop_se_pp": 0.2,
        "size_bytes": 1000,
        "latency_ms": None,
    }


def write_run(folder, model="lite0", *, origin=None, data=f"{FOLDER}/flowers", spec=None):
    """Writes a run of a variant; ``origin`` is where its weights were from."""
    spec = spec or find_spec(model)
    graph = build_graph(spec, classes=len(LABELS), resolution=SIDE, seed=1)
    how = preprocessing_of(spec, SIDE, LABELS)
    stages = {role: {"name": role, "key": f"{role:0<16}"} for role in ("data", "weights")}
    for stage in stages.values():
        (folder / STAGES / folder_name(**stage)).mkdir(parents=True)
    weights = folder / STAGES / folder_name(**stages["weights"])
    graph.save(weights / GRAPH)
    write_json(weights / PREPROCESSING, how.to_dict())
    files = {"labels.txt": "\n".join(LABELS), f"{model}-w8a8-static.tflite": "not read here"}
    for name, text in files.items():
        (folder / name).write_text(text)
    command = f"edgekit build {model} --data {data} --epochs 3"
    document = {
        "schema_version": 1,
        "edgekit_version": "0.1.0",
        "model": model,
        "output": "logits",
        "command": command,
        "created": "2026-01-01T00:00:00+00:00",
        "rows": [row("fp32-torch", 0.9), row("w8a8-tflite", 0.895)],
        "stages": [],
        "warnings": [],
        "data": {
            "source": f"--data {data}",
            "builtin": False,
            "labels": list(LABELS),
            "n_train": 2000,
            "n_val": 200,
            "n_calibration": 100,
            "unreadable": 0,
        },
        "preprocessing": how.to_dict(),
        "training": {
            "history": [{"epoch": 1, "train_loss": 1.0, "learning_rate": 0.1, "seconds": 1}],
            "recipe": {"epochs": 3, "optimizer": "adamw", "mixup": 0.0},
        },
        "evaluation": None,
        "quantization": None,
        "targets": [],
        "devices": [],
        "files": [{"path": name, "sha256": "0" * 64, "bytes": len(t)} for name, t in files.items()],
        "host": {"machine": "x86_64", "cpu": "", "versions": {}},
    }
    write_json(folder / REPORT, document)
    (folder / "report.html").write_text(f"<p>{FOLDER}</p>")
    manifest = {
        "schema_version": 1,
        "command": command,
        "options": {"head": "classifier", "data": data},
        "model": asdict(spec),
        "weights": origin,
        "preprocessing": how.to_dict(),
        "stages": stages,
    }
    write_json(folder / MANIFEST, manifest)
    return graph
