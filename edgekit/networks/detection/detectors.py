"""EfficientDet as data: every published detector is a row.

Sources: Tan et al. 2020 (arXiv 1911.09070, table 1) and google/automl 6a54c87,
``efficientdet/hparams_config.py``. What differs between rows belongs to their checkpoints: the
ratios of the anchors were changed in 2020-09, after those of D0 to D7x and before those of Lite.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from edgekit.data.boxes.anchors import OLD_RATIOS, ROOT_RATIOS, Anchors

#: How maps are joined: ``fast`` weighs them (`edgekit.networks.nodes.WeightedSum`).
FUSIONS = ("fast", "sum")
#: Of every batch normalization of the pyramid and the heads, whatever the backbone's is.
EPSILON = 1e-3
#: Levels that are a backbone's maps; coarser ones are made of the last.
BACKBONE_LEVELS = (3, 4, 5)


@dataclass(frozen=True)
class EfficientDet:
    """BiFPN cells over levels of the backbone, and two heads that all levels share.

    Attributes:
        channels: of the pyramid and the heads.
        cells: how often the pyramid is gone through, down and up.
        repeats: separable convolutions of a head before the one that predicts.
        fusion: one of `FUSIONS`.
        anchors: what the predicted boxes are relative to; its levels are those of the pyramid.
        biased: whether convolutions have a bias in front of a batch normalization, as Google's.
        padding: of the pooling, ``same`` or ``symmetric``, as `ModelSpec.padding`.
    """

    task: ClassVar[str] = "detection"
    #: How a photo becomes square: as on phones, where MediaPipe and the Task Library stretch it.
    fit: ClassVar[str] = "stretch"
    #: Of COCO, whose identifiers run from 1 to 90 with gaps.
    usual_classes: ClassVar[int] = 90

    channels: int = 64
    cells: int = 3
    repeats: int = 3
    fusion: str = "fast"
    anchors: Anchors = field(default_factory=Anchors)
    biased: bool = True
    padding: str = "same"

    def side_near(self, side: int) -> int:
        """The side of an input that suits it best, in pixels: any does.

        Each level has half of the pixels of the one before, rounded up; all kernels resize such
        maps alike (`edgekit.networks.nodes.nearest_places`).
        """
        return side

    def name_on(self, backbone: str) -> str:
        """The name of a network that has it on a backbone: ``d0``, ``det-v2-b0``."""
        rows = [row for row in PUBLISHED.values() if row.backbone == backbone]
        same = [row.name for row in rows if row.decoder == self]
        return same[0] if same else rows[0].name if rows else f"det-{backbone}"

    @staticmethod
    def backbone_in(name: str) -> str:
        """The name of the backbone of a network of that name, scaled as it is."""
        for row in PUBLISHED.values():
            if name == row.name or name.startswith(f"{row.name}-"):
                return row.backbone + name.removeprefix(row.name)
        return name.removeprefix("det-")


@dataclass(frozen=True)
class Detector:
    """A detector with a name.

    Attributes:
        name: the short name.
        backbone: the variant that its maps are of.
        resolution: side of the square input in pixels.
        decoder: what follows the backbone.
        ap: COCO AP (50:95) of its published checkpoint, in percent; None where there is none.
        int8_ap: of its int8 file.
    """

    name: str
    backbone: str
    resolution: int
    decoder: EfficientDet
    ap: float | None = None
    int8_ap: float | None = None


def _d(
    name: str, backbone: str, side: int, sizes: tuple[int, int, int], fusion: str, ap: float
) -> Detector:
    anchors = Anchors(4.0, OLD_RATIOS)
    return Detector(name, backbone, side, EfficientDet(*sizes, fusion, anchors), ap)


def _lite(
    name: str, side: int, sizes: tuple[int, int, int], scale: float, ap: tuple[float, float]
) -> Detector:
    backbone = name.removeprefix("det-").removesuffix("x")
    decoder = EfficientDet(*sizes, "sum", Anchors(scale, ROOT_RATIOS))
    return Detector(name, backbone, side, decoder, *ap)


def _with_anchors(row: Detector, anchors: Anchors) -> Detector:
    return replace(row, decoder=replace(row.decoder, anchors=anchors))


#: By name. Accuracies: google/automl, ``efficientdet/README.md``; of D0 to D7x on test-dev.
PUBLISHED: dict[str, Detector] = {
    row.name: row
    for row in (
        _d("d0", "b0", 512, (64, 3, 3), "fast", 34.6),
        _d("d1", "b1", 640, (88, 4, 3), "fast", 40.5),
        _d("d2", "b2", 768, (112, 5, 3), "fast", 43.9),
        _d("d3", "b3", 896, (160, 6, 4), "fast", 47.2),
        _d("d4", "b4", 1024, (224, 7, 4), "fast", 49.7),
        _d("d5", "b5", 1280, (288, 7, 4), "fast", 51.5),
        _d("d6", "b6", 1280, (384, 8, 5), "sum", 52.6),
        _with_anchors(_d("d7", "b6", 1536, (384, 8, 5), "sum", 53.7), Anchors(5.0, OLD_RATIOS)),
        _with_anchors(
            _d("d7x", "b7", 1536, (384, 8, 5), "sum", 55.1),
            Anchors(4.0, OLD_RATIOS, levels=(3, 4, 5, 6, 7, 8)),
        ),
        _lite("det-lite0", 320, (64, 3, 3), 3.0, (26.41, 26.1)),
        _lite("det-lite1", 384, (88, 4, 3), 3.0, (31.5, 31.12)),
        _lite("det-lite2", 448, (112, 5, 3), 3.0, (35.06, 34.69)),
        _lite("det-lite3", 512, (160, 6, 4), 4.0, (38.77, 38.42)),
        _lite("det-lite3x", 640, (200, 6, 4), 3.0, (42.64, 41.87)),
        _lite("det-lite4", 640, (224, 7, 4), 4.0, (43.18, 42.83)),
    )
}

#: Variants that no published detector is on, and the row whose figures they take: V2-B0 to B3 have
#: the width and depth of B0 to B3; of V2-S to XL it is the row whose backbone has the nearest
#: number of parameters, of B8 and L2 the largest. ``es``, ``em`` and ``el`` have neither swish nor
#: squeeze-excite, and take a Lite's.
NEAREST: dict[str, str] = {
    "b8": "d7x",
    "l2": "d7x",
    "es": "det-lite0",
    "em": "det-lite1",
    "el": "det-lite3",
    "v2-b0": "d0",
    "v2-b1": "d1",
    "v2-b2": "d2",
    "v2-b3": "d3",
    "v2-s": "d4",
    "v2-m": "d6",
    "v2-l": "d7x",
    "v2-xl": "d7x",
}


def detector_on(backbone: str) -> Detector:
    """The detector on a variant: the first published one, or one with the nearest one's figures.

    The latter has the ratios of today's code, as no checkpoint has others.

    Args:
        backbone: the name of a variant.

    Raises:
        KeyError: there is no such variant.
    """
    for row in PUBLISHED.values():
        if row.backbone == backbone:
            return row
    row = PUBLISHED[NEAREST[backbone]]
    row = _with_anchors(row, replace(row.decoder.anchors, ratios=ROOT_RATIOS))
    return replace(row, name=f"det-{backbone}", backbone=backbone, ap=None, int8_ap=None)
