"""Decoders of all tasks as data."""

import json

import pytest

from edgekit.data.boxes.anchors import ROOT_RATIOS, Anchors
from edgekit.networks.decoders import DECODERS, decoder_record, kind_of, read_decoder
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.segmentation.decoders import DeepLab, UNet

EXAMPLES = [
    UNet((8, 4)),
    DeepLab(64, 8, (1, 2, 3), 16, "timm"),
    EfficientDet(16, 2, 1, "sum", Anchors(3.0, ROOT_RATIOS, levels=(3, 4, 5)), False, "symmetric"),
]


@pytest.mark.parametrize("decoder", EXAMPLES)
def test_a_decoder_comes_back_from_its_record_as_a_file_holds_it(decoder):
    assert read_decoder(json.loads(json.dumps(decoder_record(decoder)))) == decoder


def test_every_kind_is_tried_here():
    assert {kind_of(decoder) for decoder in EXAMPLES} == DECODERS.keys()


@pytest.mark.parametrize("decoder", EXAMPLES)
def test_the_name_of_a_network_says_its_backbone(decoder):
    assert decoder.backbone_in(decoder.name_on("v2-b0") + "-w0.5") == "v2-b0-w0.5"


def test_a_record_of_damaged_anchors_is_refused():
    record = decoder_record(EXAMPLES[2])
    with pytest.raises(KeyError):
        read_decoder({**record, "anchors": {"scale": 4}})
