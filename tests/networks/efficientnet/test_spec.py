"""The family's tables: rounding rules, and the names that people write."""

from dataclasses import replace

import pytest
import torch

import edgekit
from edgekit.converters.tflite.write import convert
from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.spec import (
    SPECS,
    ModelSpec,
    round_filters,
    round_repeats,
)
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import Network


@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    [(32, 1.0, 32), (16, 1.1, 16), (24, 1.1, 24), (40, 1.1, 48), (320, 1.2, 384), (80, 1.4, 112)],
)
def test_filters_are_rounded_to_eight_and_never_below_nine_tenths(filters, width, expected):
    assert round_filters(filters, width) == expected


def test_the_nine_tenths_rule_matters():
    # 12 rounds to 8 when only the nearest multiple counts; 8 is below 0.9 x 12.
    assert round_filters(10, 1.16) == 16


def test_v2_has_no_nine_tenths_rule():
    assert round_filters(16, 1.2) == 24
    assert round_filters(16, 1.2, limit=0) == 16


def test_repeats_are_rounded_up():
    assert [round_repeats(n, 1.1) for n in (1, 2, 3, 4)] == [2, 3, 4, 5]


# reference: the published tables of widths and repeats, after scaling
@pytest.mark.parametrize(
    ("name", "stem", "outs", "repeats", "head"),
    [
        ("b0", 32, [16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1], 1280),
        ("b1", 32, [16, 24, 40, 80, 112, 192, 320], [2, 3, 3, 4, 4, 5, 2], 1280),
        ("b2", 32, [16, 24, 48, 88, 120, 208, 352], [2, 3, 3, 4, 4, 5, 2], 1408),
        ("b4", 48, [24, 32, 56, 112, 160, 272, 448], [2, 4, 4, 6, 6, 8, 2], 1792),
        ("b7", 64, [32, 48, 80, 160, 224, 384, 640], [4, 7, 7, 10, 10, 13, 4], 2560),
        ("lite0", 32, [16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1], 1280),
        ("l2", 136, [72, 104, 176, 344, 480, 824, 1376], [6, 11, 11, 16, 16, 22, 6], 5504),
        ("es", 32, [24, 32, 48, 96, 144, 192], [1, 2, 4, 5, 4, 2], 1280),
        ("em", 32, [24, 32, 48, 96, 144, 192], [2, 3, 5, 6, 5, 3], 1280),
        ("el", 40, [32, 40, 56, 112, 176, 232], [2, 3, 6, 7, 6, 3], 1536),
        ("v2-b1", 32, [16, 32, 48, 96, 112, 192], [2, 3, 3, 4, 6, 9], 1280),
        ("v2-b2", 32, [16, 32, 56, 104, 120, 208], [2, 3, 3, 4, 6, 10], 1408),
        ("v2-b3", 40, [16, 40, 56, 112, 136, 232], [2, 3, 3, 5, 7, 12], 1536),
        ("v2-s", 24, [24, 48, 64, 128, 160, 256], [2, 4, 4, 6, 9, 15], 1280),
        ("v2-xl", 32, [32, 64, 96, 192, 256, 512, 640], [4, 8, 8, 16, 24, 32, 8], 1280),
        ("lite3", 32, [24, 32, 48, 96, 136, 232, 384], [1, 3, 3, 5, 5, 6, 1], 1280),
    ],
)
def test_scaled_stages(name, stem, outs, repeats, head):
    spec = SPECS[name]
    stages = spec.scaled_stages()
    assert (spec.stem_filters, spec.head_filters) == (stem, head)
    assert [stage.out_filters for stage in stages] == outs
    assert [stage.repeats for stage in stages] == repeats


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("b0", "b0"),
        ("B0", "b0"),
        ("efficientnet-b0", "b0"),
        ("EfficientNetB1", "b1"),
        ("tf_efficientnet_lite0", "lite0"),
        ("efficientnet-lite4", "lite4"),
        ("lite-0", "lite0"),
        ("v2-s", "v2-s"),
        ("v2_b0", "v2-b0"),
        ("EfficientNetV2B0", "v2-b0"),
        ("efficientnetv2-s", "v2-s"),
        ("efficientnet_v2_m", "v2-m"),
        ("tf_efficientnetv2_b3", "v2-b3"),
        ("tf_efficientnetv2_xl.in21k_ft_in1k", "v2-xl"),
        ("tf_efficientnet_b0.ns_jft_in1k", "b0"),
        ("edgetpu-s", "es"),
        ("efficientnet-edgetpu-M", "em"),
        ("EfficientNet-EdgeTPU-L", "el"),
        ("edgetpu-large", "el"),
        ("tf_efficientnet_es", "es"),
        ("tf_efficientnet_l2", "l2"),
    ],
)
def test_names_as_people_write_them(written, name):
    assert find_spec(written) is SPECS[name]


@pytest.mark.parametrize(
    ("written", "name", "backbone"),
    [
        ("unet-lite0", "unet-lite0", "lite0"),
        ("U-Net-Lite0", "unet-lite0", "lite0"),
        ("UNet tf_efficientnet_lite0", "unet-lite0", "lite0"),
        ("unet-v2-b0", "unet-v2-b0", "v2-b0"),
        ("DeepLabV3+-b0", "deeplab-b0", "b0"),
        ("deeplabv3plus_efficientnetv2-s", "deeplab-v2-s", "v2-s"),
    ],
)
def test_names_of_networks_for_segmentation(written, name, backbone):
    spec = find_spec(written)
    assert (spec.name, spec.task) == (name, "segmentation")
    own = SPECS[backbone]
    assert replace(spec.backbone, resolution=own.resolution) == own
    side = 16 * round(own.resolution / 16) + 1 if "deeplab" in name else own.resolution
    assert spec.resolution == side
    assert SPECS[backbone].backbone == SPECS[backbone]


@pytest.mark.parametrize(
    ("written", "suggestion"),
    [
        ("unet-lite9", "'unet-lite0'"),
        ("unet", "'unet-"),
        ("deeplab-", "'deeplab-"),
        ("unet-deeplab-b0", "'unet-"),
    ],
)
def test_an_unknown_backbone_gets_a_suggestion_with_its_decoder(written, suggestion):
    with pytest.raises(UsageError, match=f"unknown model '{written}'") as caught:
        find_spec(written)
    assert suggestion in caught.value.hint


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'b") as caught:
        find_spec("b9")
    assert caught.value.exit_code == 2


def test_evaluation_crops_are_the_published_ones():
    # timm's table of the released models: crop_pct
    published = {"b0": 0.875, "b1": 0.882, "b2": 0.890, "b3": 0.904, "b4": 0.922, "b7": 0.949}
    for name, crop in published.items():
        assert SPECS[name].crop == pytest.approx(crop, abs=5e-4)
    assert {SPECS[name].crop for name in ("v2-s", "v2-m", "v2-l", "v2-xl")} == {1.0}


def test_a_variant_is_a_row(monkeypatch):
    row = ModelSpec(
        name="tiny",
        width=0.5,
        depth=1.0,
        resolution=64,
        dropout=0.1,
        activation="relu",
        stages=("r1_k3_s1_e1_i32_o16_c1", "r2_k5_s2_e4_i16_o24_se0.25", "r1_k3_s2_e2_i24_o24_c1"),
        head=64,
    )
    monkeypatch.setitem(SPECS, "tiny", row)
    assert find_spec("EfficientNet-Tiny") is row
    graph = build_graph(find_spec("tiny"))
    listed = next(entry for entry in edgekit.list_models() if entry["name"] == "tiny")
    assert listed["parameters"] == cost(graph).parameters
    logits = Network(graph).eval()(torch.zeros(2, 3, 64, 64))
    assert logits.shape == (2, 1000)
    assert len(convert(prepare(graph))) > 4 * cost(graph).parameters


@pytest.mark.parametrize("values", [{"classes": 2.5}, {"resolution": 64.5}, {"classes": 0}])
def test_a_network_has_whole_numbers(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        build_graph(SPECS["b0"], seed=None, **values)
