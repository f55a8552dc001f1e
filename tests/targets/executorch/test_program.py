"""With ExecuTorch itself: what it writes, and what it answers."""

from __future__ import annotations

import numpy as np
import pooled
import pytest
import torch

from edgekit.calibration.mixed import keep_float
from edgekit.calibration.simulate import Simulation
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import CompileError
from edgekit.targets import registry
from edgekit.targets.executorch.program import answer, read_preprocessing, write_program
from edgekit.targets.executorch.toolchain import TOOLCHAIN

pytestmark = [
    pytest.mark.chips,
    pytest.mark.skipif(
        not TOOLCHAIN.is_installed, reason="needs edgekit toolchain install executorch"
    ),
]
SIDE = 32
RECORD = Preprocessing(SIDE, (pooled.MEAN,) * 3, (pooled.STD,) * 3, tuple("abcdef"))


@torch.no_grad()
def simulate(graph, pixels):
    x = torch.from_numpy(RECORD.normalize(pixels)).permute(0, 3, 1, 2)
    return Simulation(graph).eval()(x).numpy()


@pytest.mark.parametrize("name", ["b0", "lite0", "es"])
def test_all_of_a_network_runs_in_xnnpack_with_our_scales(tmp_path, name):
    graph, pixels = pooled.quantized(pooled.plain(name, SIDE)), pooled.pixels(8, SIDE)
    path, steps = tmp_path / "model.pte", []
    assert write_program(graph, RECORD, path).endswith("all of it by XNNPACK, in one part")
    found = answer(path, pixels, lambda done, total: steps.append((done, total)))
    step, expected = graph.quant[graph.output].scale[0], simulate(graph, pixels)
    assert found.outputs.shape == expected.shape
    assert np.abs(found.outputs - expected).max() <= 4 * step
    assert found.figures.latency_ms > 0
    assert found.figures.memory["program"] == path.stat().st_size
    assert all(1 <= done <= 8 == total for done, total in steps)


def test_the_file_keeps_how_photos_are_prepared(tmp_path):
    path = tmp_path / "model.pte"
    write_program(pooled.quantized(pooled.plain("lite0", SIDE)), RECORD, path)
    assert read_preprocessing(path) == RECORD.of_input("float32", "NCHW")
    assert registry.find("executorch").examine(path).findings == ()


def test_layers_may_stay_in_float(tmp_path):
    graph = keep_float(pooled.quantized(pooled.plain("lite0", SIDE)), ["block2a_expand"])
    path, pixels = tmp_path / "model.pte", pooled.pixels(4, SIDE)
    write_program(graph, RECORD, path)
    found = answer(path, pixels, lambda done, total: None).outputs
    assert np.abs(found - simulate(graph, pixels)).max() <= 4 * graph.quant[graph.output].scale[0]


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "model.pte"
    path.write_bytes(b"no program" * 100)
    with pytest.raises(CompileError, match="does not take"):
        read_preprocessing(path)
