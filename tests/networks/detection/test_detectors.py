"""Detectors as data: their names, what belongs to their weights, and other backbones."""

from dataclasses import replace

import pytest

from edgekit.data.boxes.anchors import OLD_RATIOS, ROOT_RATIOS
from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import (
    FUSIONS,
    NEAREST,
    PUBLISHED,
    EfficientDet,
    detector_on,
)
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS


@pytest.mark.parametrize(
    ("written", "name", "backbone"),
    [
        ("d0", "d0", "b0"),
        ("D7x", "d7x", "b7"),
        ("efficientdet-d0", "d0", "b0"),
        ("EfficientDet D3", "d3", "b3"),
        ("tf_efficientdet_d7x", "d7x", "b7"),
        ("tf_efficientdet_d7", "d7", "b6"),
        ("efficientdet_lite0", "det-lite0", "lite0"),
        ("EfficientDet-Lite3x", "det-lite3x", "lite3"),
        ("det-lite3", "det-lite3", "lite3"),
        ("det-d2", "d2", "b2"),
        ("det-b0", "d0", "b0"),
        ("det-b6", "d6", "b6"),
        ("det-b7", "d7x", "b7"),
        ("det-v2-b0", "det-v2-b0", "v2-b0"),
        ("det-efficientnetv2-s", "det-v2-s", "v2-s"),
        ("det-es", "det-es", "es"),
    ],
)
def test_names_as_people_write_them(written, name, backbone):
    spec = find_spec(written)
    assert (spec.name, spec.backbone.name, spec.task) == (name, backbone, "detection")
    own = SPECS[backbone]
    assert (spec.scaled_stages(), spec.mean) == (own.scaled_stages(), own.mean)
    assert spec.backbone.decoder is None


@pytest.mark.parametrize("written", ["lite0", "b0", "v2-b0", "es"])
def test_a_backbones_name_is_a_classifiers(written):
    assert find_spec(written).task == "classification"


@pytest.mark.parametrize(
    ("written", "suggestion"),
    [("det-lite9", "'det-lite0'"), ("d9", "'d0'"), ("det", "'det-"), ("det-unet-b0", "'det-")],
)
def test_an_unknown_name_gets_a_suggestion(written, suggestion):
    with pytest.raises(UsageError, match=f"unknown model '{written}'") as caught:
        find_spec(written)
    assert suggestion in caught.value.hint


def test_every_variant_has_a_detector_that_its_name_finds():
    backbones = {row.backbone for row in PUBLISHED.values()}
    assert backbones | NEAREST.keys() == SPECS.keys()
    assert not backbones & NEAREST.keys()
    for name in SPECS:
        row = detector_on(name)
        spec = find_spec(f"det-{name}")
        assert (spec.name, spec.backbone.name, spec.decoder) == (row.name, name, row.decoder)
        assert spec.resolution == row.resolution
        assert row.name in (*PUBLISHED, f"det-{name}")


def test_what_was_measured_of_their_checkpoints():
    # detection.md, traps 1 to 3.
    for name, row in PUBLISHED.items():
        lite = "lite" in name
        anchors = row.decoder.anchors
        assert anchors.ratios == (ROOT_RATIOS if lite else OLD_RATIOS)
        assert row.decoder.fusion == (
            "fast" if name in ["d0", "d1", "d2", "d3", "d4", "d5"] else "sum"
        )
        assert anchors.levels == ((3, 4, 5, 6, 7, 8) if name == "d7x" else (3, 4, 5, 6, 7))
        assert row.decoder.fusion in FUSIONS
    scales = {name: row.decoder.anchors.scale for name, row in PUBLISHED.items()}
    assert {name for name, scale in scales.items() if scale == 5} == {"d7"}
    smallest = {name for name, scale in scales.items() if scale == 3}
    assert smallest == {"det-lite0", "det-lite1", "det-lite2", "det-lite3x"}
    assert set(scales.values()) == {3, 4, 5}


def test_without_a_published_row_the_ratios_are_todays():
    spec = find_spec("det-v2-b0")
    assert spec.decoder == replace(
        find_spec("d0").decoder, anchors=replace(find_spec("d0").anchors, ratios=ROOT_RATIOS)
    )
    assert find_spec("det-es").decoder == find_spec("det-lite0").decoder


@pytest.mark.parametrize(
    ("name", "survival"), [("d0", 1.0), ("det-v2-b0", 1.0), ("d1", 0.8), ("det-lite0", 0.8)]
)
def test_only_a_backbone_called_b0_keeps_all_branches(name, survival):
    assert find_spec(name).survival == survival


@pytest.mark.parametrize("name", ["d0", "d7", "d7x", "det-lite3", "det-lite3x", "det-v2-b0"])
def test_a_scaled_detector_has_a_backbone_scaled_alike(name):
    spec = scale_spec(find_spec(name), width=0.5, depth=0.25)
    assert spec.name == f"{name}-w0.5-d0.25"
    assert spec.backbone.name == f"{find_spec(name).backbone.name}-w0.5-d0.25"
    assert spec.backbone.width == SPECS[find_spec(name).backbone.name].width * 0.5


def test_a_decoder_on_a_backbone_is_called_as_published_where_it_is():
    assert SPECS["b6"].with_decoder(PUBLISHED["d7"].decoder).name == "d7"
    assert SPECS["lite3"].with_decoder(PUBLISHED["det-lite3x"].decoder).name == "det-lite3x"
    assert SPECS["b0"].with_decoder(EfficientDet(16)).name == "d0"
    assert SPECS["v2-s"].with_decoder(EfficientDet(16)).name == "det-v2-s"


def test_a_photo_is_stretched_and_the_record_of_the_input_has_the_anchors():
    spec = find_spec("det-lite0")
    record = preprocessing_of(spec, 320, ("a",))
    assert (record.task, record.fit, record.crop_fraction) == ("detection", "stretch", 1.0)
    assert record.anchors == spec.decoder.anchors == spec.anchors
    assert (record.mean, record.std) == ((127.0,) * 3, (128.0,) * 3)
    assert record.interpolation == "bilinear"
    assert preprocessing_of(spec, 320, fit="pad").fit == "pad"
    assert preprocessing_of(SPECS["lite0"], 224).anchors is None
    assert spec.usual_classes == 90
