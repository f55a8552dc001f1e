"""The options of a decoder: what they change, and where they do not belong."""

from dataclasses import replace

import pytest

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.options.build import BuildOptions
from edgekit.options.decoder import with_decoder_options
from edgekit.options.recipes import make_recipe


def test_a_decoder_is_as_the_options_say():
    unet = BuildOptions.make("unet-lite0", decoder="32, 24,16", width=0.5)
    assert unet.spec.decoder == UNet((32, 24, 16))
    assert (unet.spec.name, unet.spec.backbone.name) == ("unet-lite0-w0.5", "lite0-w0.5")
    assert (unet.spec.width, unet.spec.task) == (0.5, "segmentation")
    deeplab = BuildOptions.make("deeplab-b0", decoder="64", output_stride=8, aspp_rates="2,4,6")
    assert deeplab.spec.decoder == DeepLab(64, 8, (2, 4, 6))
    detector = BuildOptions.make("det-lite0", decoder="32,2", width=0.5)
    assert (detector.spec.name, detector.spec.task) == ("det-lite0-w0.5", "detection")
    assert detector.spec.backbone.name == "lite0-w0.5"
    own = find_spec("det-lite0").decoder
    assert detector.spec.decoder == replace(own, channels=32, cells=2)


def test_without_options_nothing_changes():
    for name in ("b0", "unet-b0", "deeplab-b0", "d0", "det-lite3x"):
        assert with_decoder_options(find_spec(name)) == find_spec(name)
    assert BuildOptions.make("b0").spec == SPECS["b0"]


@pytest.mark.parametrize(
    ("model", "options", "message", "cause", "hint"),
    [
        ("b0", {"decoder": "64"}, "--decoder does not go with b0", "no decoder", "unet-b0"),
        ("b0", {"output_stride": 8}, "--output-stride does not", "no decoder", "deeplab-b0"),
        ("b0", {"aspp_rates": "1,2,3"}, "--aspp-rates does not", "no decoder", "deeplab-b0"),
        ("unet-b0", {"output_stride": 8}, "--output-stride does not", "U-Net", "deeplab-b0"),
        ("unet-b0", {"aspp_rates": "1,2,3"}, "--aspp-rates does not", "U-Net", "deeplab-b0"),
        ("unet-b0", {"decoder": "64"}, "--decoder 64 cannot", "it has 1", "64,48,32,24,16"),
        ("unet-b0", {"decoder": "6,5,4,3,2,1"}, "cannot be used", "it has 6", "64,48,32,24,16"),
        ("unet-b0", {"decoder": "64,a"}, "--decoder 64,a", "not whole numbers", "64,48"),
        ("unet-b0", {"decoder": "64,0"}, "--decoder 64,0", "from 1 to 2048", "64,48"),
        ("unet-b0", {"decoder": ""}, "cannot be used", "not whole numbers", "64,48"),
        ("deeplab-b0", {"decoder": "64,48"}, "cannot be used", "it has 2", "--decoder 128"),
        ("d0", {"decoder": "64,3,3,3"}, "cannot be used", "it has 4", "--decoder 64,3,3"),
        ("d0", {"decoder": "0"}, "--decoder 0", "from 1 to 2048", "64,3,3"),
        ("d0", {"output_stride": 8}, "--output-stride does not", "EfficientDet", "deeplab-b0"),
        ("deeplab-b0", {"output_stride": 32}, "must be 8 or 16", "no decoder", "16"),
        ("deeplab-b0", {"aspp_rates": "6,12"}, "--aspp-rates 6,12", "it has 2", "6,12,18"),
        ("deeplab-b0", {"aspp_rates": "6,12,999"}, "cannot be used", "1 to 256", "6,12,18"),
    ],
)
def test_what_cannot_be_is_refused_in_three_parts(model, options, message, cause, hint):
    with pytest.raises(UsageError, match=message) as caught:
        with_decoder_options(find_spec(model), **options)
    assert cause in caught.value.cause
    assert hint in caught.value.hint


def test_a_photo_is_padded_for_segmentation_and_cropped_for_classes_unless_asked():
    assert find_spec("unet-b0").fit == "pad"
    assert find_spec("b0").fit == "crop"
    assert find_spec("d0").fit == "stretch"
    assert BuildOptions.make("unet-b0", fit="crop", crop=0.9).fit == "crop"
    for model, fit in (("unet-b0", None), ("b0", "stretch")):
        with pytest.raises(UsageError, match="--crop needs --fit crop"):
            BuildOptions.make(model, crop=0.9, fit=fit)
    with pytest.raises(UsageError, match="--fit 'squeeze' is not known"):
        BuildOptions.make("b0", fit="squeeze")


@pytest.mark.parametrize(
    "given",
    [{"stages": 2, "first_size": 0.5}, {"recipes": "v2-progressive", "mixup": 0.0}],
)
def test_a_network_of_one_size_does_not_grow_in_training(given):
    with pytest.raises(UsageError, match="cannot be trained at sizes that grow") as caught:
        make_recipe(BuildOptions.make("unet-lite0", data="photos", **given))
    assert "--stages 1" in caught.value.hint
    assert make_recipe(BuildOptions.make("unet-lite0", data="photos", stages=2)).stages == 2
    assert make_recipe(BuildOptions.make("lite0", data="photos", **given)).first_size < 1


def test_the_option_knows_every_fit():
    from edgekit.data import placement
    from edgekit.options import model

    assert model.FITS == placement.FITS


@pytest.mark.parametrize(
    ("model", "data", "start"),
    [
        ("unet-lite0", "photos", "imagenet"),
        ("unet-lite0", None, "none"),
        ("deeplab-v2-s", "photos", "imagenet"),
        ("d0", "photos", "imagenet"),
        ("det-lite3x", "photos", "imagenet"),
        ("det-lite0", None, "none"),
    ],
)
def test_training_starts_from_the_backbones_published_weights(model, data, start):
    assert BuildOptions.make(model, data=data).start == start
    assert BuildOptions.make(model, data=data, width=0.5).start == "none"
