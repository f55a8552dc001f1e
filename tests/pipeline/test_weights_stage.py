"""The weights stage: what a file does not say, the photos are asked."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from edgekit.data import load_splits
from edgekit.graph import Graph
from edgekit.pipeline import steps
from edgekit.pipeline.weights import Start, files_of, prepare
from edgekit.spec import SPECS

SHARED = Path(__file__).parents[3] / "shared"
FLOWERS = SHARED / "data" / "flowers" / "val"
LITE0 = SHARED / "weights" / "efficientnet-lite0_flowers5_timm.safetensors"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared with real weights")


def silent(task, done, total, note=""):
    pass


@needs_shared
@pytest.mark.parametrize(
    ("name", "source"),
    # By its name, the second file looks like timm's own training, which it is not.
    [("weights.safetensors", "timm-tf"), ("efficientnet_lite0.safetensors", "timm-tf")],
)
def test_photos_tell_the_padding(tmp_path, name, source):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    splits = load_splits(FLOWERS, None, None, calibration_count=64, seed=0)
    (data / steps.SPLITS).write_text(json.dumps(splits.to_dict()))
    save_file(load_file(LITE0), tmp_path / name)  # without the metadata that names the model
    detail = prepare(
        out,
        silent,
        data=data,
        spec=SPECS["lite0"],
        resolution=128,
        crop=None,
        start=Start(name, tmp_path / name),
        seed=0,
    )
    assert detail == f"{source} weights"
    origin = json.loads((out / steps.ORIGIN).read_text())
    assert any("the padding is same: 4" in note for note in origin["notes"])
    assert Graph.load(out / steps.GRAPH).spec == SPECS["lite0"]


def test_the_files_of_a_checkpoint(tmp_path):
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "model.ckpt.meta", "other"):
        (tmp_path / name).write_bytes(b"")
    parts = [tmp_path / "model.ckpt.data-00000-of-00001", tmp_path / "model.ckpt.index"]
    assert files_of(tmp_path / "model.ckpt") == parts
    assert files_of(tmp_path) == parts
    assert files_of(tmp_path / "other") == [tmp_path / "other"]
