"""The page on detection decodes a file's raw outputs as the report's figures are made."""

import numpy as np
from examples import blocks
from places import ROOT

from edgekit.data.boxes.anchors import ROOT_RATIOS, Anchors
from edgekit.data.preprocessing import Preprocessing
from edgekit.tasks.detection.kept import detections_of, keep

SIDE, SCORE = 80, 0.3
ANCHORS = Anchors(3.0, ROOT_RATIOS)
RECORD = Preprocessing(
    SIDE, (127.0,) * 3, (128.0,) * 3, ("a", "b"), task="detection", fit="stretch", anchors=ANCHORS
)


def test_the_page_finds_the_same_boxes():
    names = {}
    (block,) = blocks(ROOT / "docs" / "detection.md", "python")
    exec(block.text, names)  # noqa: S102
    values = (ANCHORS.scale, ANCHORS.ratios, ANCHORS.octaves, ANCHORS.levels)
    anchors = names["anchors_of"](SIDE, *values)
    rng = np.random.default_rng(0)
    boxes = rng.normal(0, 0.3, (len(anchors), 4)).astype(np.float32)
    logits = rng.normal(-4, 1.5, (len(anchors), 2)).astype(np.float32)
    found = np.array(names["detect"](boxes, logits, anchors, SCORE))
    joined = np.concatenate([boxes, logits], axis=1)
    (kept,) = detections_of(keep(joined[None], RECORD))
    kept = kept[kept[:, 4] >= SCORE]
    assert len(kept) > 10
    np.testing.assert_allclose(found, kept, atol=1e-5)
