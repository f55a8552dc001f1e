"""Two ways to give an int8 network raw bytes when its mean and std differ by channel.

Compares, on one trained network and the same photos, the 1x1 depthwise convolution in front with
the folding round one common zero point: top-1, agreement with the float network, latency.

    python benchmarks/input_normalization.py [RUN]      # a folder of `edgekit build b0`

Without a folder it builds B0 on the built-in shapes first, into runs/benchmark-b0.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import edgekit
from edgekit import runs
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.converters.tflite.write import convert
from edgekit.data.batches import eval_batches
from edgekit.networks.graph import Graph
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.predict import predict
from edgekit.networks.torch_network import Network
from edgekit.runtimes.litert import LiteRT, measure_latency

METHODS: tuple[Literal["depthwise", "common-zero"], ...] = ("depthwise", "common-zero")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder = arguments.run or edgekit.build("b0", out=Path("runs/benchmark-b0")).folder
    stages = folder / "stages"
    splits = runs.read_splits(next(stages.glob("data-*")))
    record = runs.read_preprocessing(next(stages.glob("weights-*")))
    (path,) = [p for p in folder.glob("*.graph") if "w8a8" not in p.name]
    trained = Graph.load(path)
    truth = splits.val.labels
    expected = predict(Network(trained), splits.val, record).argmax(1)
    rows: list[dict[str, Any]] = []
    models = {}
    written = Path(tempfile.mkdtemp())
    for method in METHODS:
        graph, mean, std = absorb_normalization(prepare(trained), record.mean, record.std, method)
        batches = [
            ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)
            for pixels, _ in eval_batches(splits.calibration, record, 16)
        ]
        fixed = fixed_ranges(graph, mean, std)
        ranges = choose_ranges(collect(graph, batches, skip=fixed), "mse")
        models[method] = written / f"{method}.tflite"
        models[method].write_bytes(convert(quantize(graph, {**ranges, **fixed}), io="uint8"))
        # The float network after the change, so that rounding is not counted as its fault.
        float_logits = np.concatenate(
            [
                predict_float(graph, pixels, mean, std)
                for pixels, _ in eval_batches(splits.val, record, 32)
            ]
        )
        runtime = LiteRT(models[method], threads=1, preprocessing=record)
        got = np.concatenate([runtime.run(p) for p, _ in eval_batches(splits.val, record, 16)])
        rows.append(
            {
                "method": method,
                "float_agreement": float((float_logits.argmax(1) == expected).mean()),
                "int8_top1": float((got.argmax(1) == truth).mean()),
                "int8_agreement": float((got.argmax(1) == expected).mean()),
            }
        )
    pixels = record.pixels(splits.val.load(0))
    times: dict[str, list[float]] = {method: [] for method in METHODS}
    for _ in range(arguments.rounds):  # in turn, so that a noisy machine favours neither
        for method in METHODS:
            times[method].append(
                measure_latency(models[method], pixels, preprocessing=record)["median"]
            )
    for row in rows:
        row["median_ms"] = float(np.median(times[row["method"]]))
    print(f"float top-1 {(expected == truth).mean():.4f} on {len(truth)} photos")
    print(json.dumps(rows, indent=2))


def predict_float(
    graph: Graph, pixels: NDArray[np.uint8], mean: float, std: float
) -> NDArray[np.float32]:
    """Logits of a float network whose input has one mean and std."""
    import torch

    inputs = torch.from_numpy((pixels - np.float32(mean)) / np.float32(std)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits: NDArray[np.float32] = Network(graph).eval()(inputs.float()).numpy()
    return logits


if __name__ == "__main__":
    main()
