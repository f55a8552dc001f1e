"""Every variant at its full width is written, loaded and run once in LiteRT."""

import json
import subprocess
import sys

import numpy as np
import pytest
from places import BENCHMARKS

from edgekit.networks.efficientnet.spec import SPECS

#: A forward pass at a larger side takes minutes.
LARGEST_SIDE, SMALL_SIDE = 700, 256
RUN = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=sys.argv[1], num_threads=2)
interpreter.allocate_tensors()
source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
shape = source["shape"]
photo = np.random.default_rng(0).integers(-128, 128, shape)
if source["dtype"] == np.float32:
    photo = photo / 128
interpreter.set_tensor(source["index"], photo.astype(source["dtype"]))
interpreter.invoke()
np.save(sys.argv[2], interpreter.get_tensor(result["index"]))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emit():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import emit

        yield emit


@pytest.mark.parametrize("name", SPECS)
def test_the_full_width_is_written_and_runs(emit, name, tmp_path, capsys):
    side = SPECS[name].resolution
    side = side if side <= LARGEST_SIDE else SMALL_SIDE
    for scheme, graph in emit.make_graphs(tmp_path, name, side):
        out = tmp_path / "model.tflite"
        command = [sys.executable, BENCHMARKS / "emit_worker.py", "edgekit", graph, out]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = json.loads(done.stdout)
        graph.unlink()
        size = out.stat().st_size
        answers = tmp_path / "answers.npy"
        subprocess.run([sys.executable, "-c", RUN, out, answers], check=True, capture_output=True)
        found = np.load(answers)
        assert found.shape == (1, 1000)
        assert found.dtype == (np.float32 if scheme == "fp32" else np.int8)
        assert np.isfinite(found).all()
        assert len(np.unique(found)) > 1
        assert figures["peak_mb"] <= 5 * size / 1e6 + 150
        out.unlink()
        with capsys.disabled():
            print(
                f"\n{name:<8}{scheme:<13}{side:>4} px{figures['seconds']:8.2f} s"
                f"{figures['peak_mb']:9.0f} MB{size / 1e6:9.1f} MB",
                end="",
            )
