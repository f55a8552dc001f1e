"""What repairs read."""

import numpy as np
import pytest

import edgekit
from edgekit import runs
from edgekit.data import synthetic
from edgekit.pipeline.post_training import Algorithms, Folders


@pytest.fixture
def algorithms(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_COUNT", 64)
    monkeypatch.setattr(synthetic, "VAL_COUNT", 4)
    small = {"resolution": 32, "epochs": 0, "calibration_count": 16, "threads": 1}
    small |= {"width": 0.1, "depth": 0.1, "quantize": "ranges"}
    run = edgekit.build("lite0", out=tmp_path / "out", **small)
    stages = runs.open_run(run.folder).stages
    model = stages.get("train", stages["weights"])
    names = ("data", "weights", "calibrate", "quantize")
    data, weights, calibration, quantized = (stages[name] for name in names)
    folders = Folders(data, weights, model, calibration, quantized)
    return Algorithms(folders, "cpu", 0, lambda *_: None)


def test_few_photos_are_of_the_whole_calibration_list(algorithms):
    """Which is in the order of classes where photos are: the first ones would be of one."""
    every, some = algorithms.inputs(16), algorithms.inputs(4)
    np.testing.assert_array_equal(some, every[[0, 5, 10, 15]])
    assert len(algorithms.inputs(100)) == 16
