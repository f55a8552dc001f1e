"""Every variant that is deployed, as float and int8 TFLite files, written, read back and run."""

import multiprocessing
import resource
import time

import numpy as np
import pytest

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.converters.tflite.checks import check_int8
from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.write import convert
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.passes import absorb_normalization, prepare

SIZE, CLASSES = 64, 10
VARIANTS = [
    *("b0", "b1", "b2", "b3", "b4"),
    *("lite0", "lite1", "lite2", "lite3", "lite4"),
    *("es", "em", "el"),
    *("v2-b0", "v2-b1", "v2-b2", "v2-b3", "v2-s"),
]


def write_and_run(name: str) -> dict[str, float]:
    """Writes both files of one variant and runs them; returns how they fared and what it cost."""
    import torch
    from ai_edge_litert.interpreter import Interpreter

    from edgekit.networks.torch_network import Network

    began = time.monotonic()
    spec = SPECS[name]
    graph = prepare(build_graph(spec, classes=CLASSES, resolution=SIZE, seed=1))
    pixels = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), dtype=np.uint8)
    inputs = ((pixels - np.float32(spec.mean)) / np.float32(spec.std)).astype(np.float32)

    def run(contents: bytes, batch: np.ndarray) -> np.ndarray:
        interpreter = Interpreter(model_content=contents, num_threads=2)
        interpreter.allocate_tensors()
        source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        outputs = []
        for one in batch:
            interpreter.set_tensor(source["index"], one[None])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(result["index"])[0].astype(np.float32))
        scale, zero_point = result["quantization"]
        return (np.array(outputs) - zero_point) * (scale or 1.0)

    with torch.inference_mode():
        wanted = Network(graph).eval()(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()
    floats = convert(graph)
    got = run(floats, inputs)

    ready, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
    fed = ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)
    fixed = fixed_ranges(ready, mean, std)
    ranges = choose_ranges(collect(ready, [fed], skip=fixed), "mse")
    int8 = convert(quantize(ready, {**ranges, **fixed}), io="uint8")
    model = parse(int8)
    stored = sum(t.values().size for t in model.tensors if t.is_constant and t.dtype == "int8")
    return {
        "float_error": float(np.abs(got - wanted).max() / np.abs(wanted).max()),
        "correlation": float(np.corrcoef(run(int8, pixels).ravel(), wanted.ravel())[0, 1]),
        "faults": len([finding for finding in check_int8(model) if finding.severity == "error"]),
        "int8_weights": stored,
        "kernels": sum(a.size for n, a in graph.weights.items() if n.endswith("/kernel")),
        "float_mb": len(floats) / 1e6,
        "int8_mb": len(int8) / 1e6,
        "seconds": time.monotonic() - began,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_becomes_a_float_and_an_int8_file(name, capsys):
    # A process of its own, so that the peak is this variant's.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(write_and_run, (name,))
    with capsys.disabled():
        print(
            f"\n{name:<7}{found['seconds']:>7.1f} s{found['peak_mb']:>8.0f} MB peak"
            f"{found['float_mb']:>8.1f} MB float{found['int8_mb']:>8.1f} MB int8"
            f"  int8 correlation {found['correlation']:.4f}",
            end="",
        )
    assert found["float_error"] < 1e-4
    assert found["faults"] == 0
    assert found["int8_weights"] == found["kernels"]
    # Random weights: no logit stands out, so rounding shows more than in a trained network.
    assert found["correlation"] > 0.9
