"""Reference outputs, targets and losses of effdet that several tests of detection take."""

from types import SimpleNamespace

import numpy as np
import pytest
from places import SHARED
from prerequisites import skip_without

FOLDER = SHARED / "oracle" / "detection"
TAGS = ("tf_efficientdet_lite0_320x320_c5", "tf_efficientdet_d0_128x192_c5")
LEVELS = range(3, 8)


@pytest.fixture(scope="session")
def folder():
    """The folder of the oracle."""
    if not FOLDER.is_dir():
        skip_without("shared")
    return FOLDER


@pytest.fixture(scope="session", params=TAGS, ids=["square", "wide"])
def oracle(request, folder):
    """Outputs of two photos [2, anchors, 9], their anchors in pixels, and what effdet makes of it.

    ``maps`` has all arrays of the file, ``train`` those of its training step, with targets of all
    levels in one.
    """
    with np.load(folder / f"{request.param}.npz") as file:
        maps = {name: file[name] for name in file.files if not name.startswith(("fpn", "back"))}
    with np.load(folder / f"{request.param}.train.npz") as file:
        train = {name: file[name] for name in file.files if not name.startswith("grad")}

    def rows(kind, columns):
        levels = [maps[f"{kind}_p{level}"].transpose(0, 2, 3, 1) for level in LEVELS]
        return np.concatenate([level.reshape(2, -1, columns) for level in levels], axis=1)

    train["classes"] = np.concatenate(
        [train[f"cls_target_p{level}"].reshape(2, -1) for level in LEVELS], axis=1
    )
    train["offsets"] = np.concatenate(
        [train[f"box_target_p{level}"].reshape(2, -1, 4) for level in LEVELS], axis=1
    )
    return SimpleNamespace(
        outputs=np.concatenate([rows("box", 4), rows("class", 5)], axis=2),
        anchors=maps["anchors_yxyx"],
        maps=maps,
        train=train,
    )
