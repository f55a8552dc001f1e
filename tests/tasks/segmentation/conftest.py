"""Maps and masks that several tests of segmentation take."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from places import SHARED
from prerequisites import skip_without

FOLDER = SHARED / "oracle" / "segmentation"


@pytest.fixture(scope="session")
def oracle():
    """Losses and metrics of segmentation_models_pytorch, without and with pixels of no class."""
    if not FOLDER.is_dir():
        skip_without("shared")
    with np.load(FOLDER / "losses_metrics_ops.npz") as file:
        arrays = {name: file[name] for name in file.files if "/" not in name or "grad" in name}
    values = json.loads((FOLDER / "losses_metrics_values.json").read_text("utf-8"))
    return SimpleNamespace(arrays=arrays, values=values)
