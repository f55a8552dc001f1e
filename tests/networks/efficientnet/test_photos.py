"""How photos are prepared for a variant's weights."""

from dataclasses import replace

from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.photos import preprocessing_of
from edgekit.networks.efficientnet.spec import SPECS


def test_a_classifier_sees_the_centre_that_its_weights_saw():
    record = preprocessing_of(SPECS["lite0"], 96, ("a", "b"))
    assert (record.resolution, record.labels, record.task) == (96, ("a", "b"), "classification")
    assert (record.fit, record.crop_fraction) == ("crop", SPECS["lite0"].crop)
    assert (record.mean, record.interpolation) == (SPECS["lite0"].mean, "bicubic")
    assert preprocessing_of(SPECS["lite0"], 96, crop=0.5).crop_fraction == 0.5


def test_a_segmenter_sees_all_of_a_photo():
    spec = replace(find_spec("unet-lite0"), mean=(1.0, 2.0, 3.0))
    record = preprocessing_of(spec, 96)
    assert (record.fit, record.crop_fraction, record.task) == ("pad", 1.0, "segmentation")
    assert record.mean == (1.0, 2.0, 3.0)
    assert preprocessing_of(spec, 96, fit="crop").crop_fraction == 1.0


def test_a_photo_that_is_stretched_is_not_cropped():
    assert preprocessing_of(SPECS["lite0"], 96, fit="stretch").crop_fraction == 1.0
