"""The structure of a file: what is in the flatbuffer, and what is behind it beyond 2 GB."""

import subprocess
import sys

import numpy as np
import pytest

from edgekit.converters.tflite.about import About
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.converters.tflite.write import write_tflite
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import FullyConnected, Mean
from edgekit.tasks.classification.task import LOGITS

SIDE, WIDE = 8, 24_000
RUN = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=sys.argv[1])
interpreter.allocate_tensors()
source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.set_tensor(source["index"], np.ones(source["shape"], np.float32))
interpreter.invoke()
np.save(sys.argv[2], interpreter.get_tensor(result["index"])[0])
"""


def dense(name, source, inputs, outputs):
    """A layer whose weights are all zero, and which take no memory therefore."""
    weights = {
        f"{name}/kernel": np.zeros((inputs, outputs), np.float32),
        f"{name}/bias": np.zeros(outputs, np.float32),
    }
    return FullyConnected(name=name, inputs=(source,), units=outputs), weights


@pytest.mark.slow
def test_a_network_beyond_2_gb_runs(tmp_path):
    """2.3 GB of weights: a flatbuffer ends at 2 GB, so that they are behind it."""
    nodes, weights = [Mean(name="pool", inputs=("input",), keep_dims=False)], {}
    for name, source, sizes in (
        ("wide", "pool", (3, WIDE)),
        ("square", "wide", (WIDE, WIDE)),
        ("logits", "square", (WIDE, 2)),
    ):
        node, own = dense(name, source, *sizes)
        nodes.append(node)
        weights |= own
    weights["wide/kernel"][:] = 1
    weights["square/kernel"][-1, -1] = 5  # the last number of the largest kernel
    weights["logits/kernel"][-1] = (1, -2)
    weights["logits/bias"][:] = (0, 7)
    shapes = {"input": (SIDE, SIDE, 3), "pool": (3,), "wide": (WIDE,), "square": (WIDE,)}
    graph = Graph("wide", "input", tuple(nodes), {**shapes, "logits": (2,)}, weights)
    record = Preprocessing(SIDE, (127.0,) * 3, (128.0,) * 3, ("a", "b"))
    about = About(
        name="n", description="d", labels=("a", "b"), preprocessing=record, outputs=(LOGITS,)
    )
    path, answers = tmp_path / "wide.tflite", tmp_path / "answers.npy"
    assert write_tflite(graph, path, about=about) > 2**31
    subprocess.run([sys.executable, "-c", RUN, path, answers], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(answers), [15, -23])
    assert read_metadata(path).labels == ("a", "b")
    path.unlink()
