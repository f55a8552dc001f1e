"""Which blocks the three encoders of segmentation_models_pytorch hand to a decoder, and dilate."""

from dataclasses import replace

import pytest

from edgekit.networks.efficientnet.block_plan import plan_blocks
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.segmentation.taps import TAPS

#: smp, ``encoders/efficientnet.py: out_indexes``.
OUT_INDEXES = {
    "b0": (2, 4, 8, 15),
    "b1": (4, 7, 15, 22),
    "b2": (4, 7, 15, 22),
    "b3": (4, 7, 17, 25),
    "b4": (5, 9, 21, 31),
    "b5": (7, 12, 26, 38),
    "b6": (8, 14, 30, 44),
    "b7": (10, 17, 37, 54),
}
#: Stages, from 0, whose strided convolution EfficientNet-PyTorch pads symmetrically.
SYMMETRIC = {
    "b0": set(),
    "b1": {5},
    "b2": {2, 3, 5},
    "b3": {2, 5},
    "b4": {2},
    "b5": {3, 5},
    "b6": {5},
    "b7": {3},
}


@pytest.mark.parametrize("name", OUT_INDEXES)
def test_lukemelas_maps_are_those_of_smps_table(name):
    blocks = plan_blocks(SPECS[name])
    stem, *taps = TAPS["lukemelas"].tensors(blocks, name)
    assert stem == "stem"
    assert tuple([b.name for b in blocks].index(tap) for tap in taps) == OUT_INDEXES[name]


@pytest.mark.parametrize("name", SYMMETRIC)
def test_native_padding_is_symmetric_where_the_variants_own_side_is_odd(name):
    blocks = plan_blocks(replace(SPECS[name], padding="native"))
    strided = [b for b in blocks if b.shape.stride == 2]
    found = {int(b.name[5]) - 1 for b in strided if b.padding == "symmetric"}
    assert found == SYMMETRIC[name]


def test_timms_first_map_is_a_blocks_and_the_others_are_the_last_of_their_stride():
    blocks = plan_blocks(SPECS["b0"])
    assert TAPS["tu"].tensors(blocks, "b0") == (
        "block1a",
        "block2b",
        "block3b",
        "block5c",
        "block7a",
    )
    assert TAPS["timm"].tensors(blocks, "b0") == (
        "stem",
        "block2b",
        "block3b",
        "block5c",
        "block7a",
    )
    assert TAPS["lukemelas"].tensors(blocks, "b0")[3] == "block5a"
    assert TAPS["lukemelas"].tensors(blocks, "b0-w0.5")[3] == "block5a"


@pytest.mark.parametrize(
    ("flavour", "output_stride", "dilated"),
    [
        ("tu", 16, {"block6b": 2, "block6c": 2, "block6d": 2, "block7a": 2}),
        (
            "tu",
            8,
            {"block4b": 2, "block4c": 2, "block5a": 2, "block5b": 2, "block5c": 2, "block6a": 2}
            | {"block6b": 4, "block6c": 4, "block6d": 4, "block7a": 4},
        ),
        ("timm", 16, dict.fromkeys(("block6a", "block6b", "block6c", "block6d", "block7a"), 2)),
        (
            "lukemelas",
            16,
            dict.fromkeys(("block5b", "block5c"), 2)
            | dict.fromkeys(("block6a", "block6b", "block6c", "block6d", "block7a"), 2),
        ),
        (
            "lukemelas",
            8,
            dict.fromkeys(("block4a", "block4b", "block4c", "block5a"), 2)
            | dict.fromkeys(("block5b", "block5c"), 4)
            | dict.fromkeys(("block6a", "block6b", "block6c", "block6d", "block7a"), 4),
        ),
    ],
)
def test_strides_become_dilations_as_each_encoder_does_it(flavour, output_stride, dilated):
    blocks = TAPS[flavour].dilate(plan_blocks(SPECS["b0"]), "b0", output_stride)
    assert {b.name: b.dilation for b in blocks if b.dilation > 1} == dilated
    strides = 2 ** sum(b.shape.stride == 2 for b in blocks)
    assert 2 * strides == output_stride


def test_a_stride_that_becomes_a_dilation_may_add_a_shortcut_in_timms_encoder_alone():
    for flavour, expected in (("tu", True), ("timm", False)):
        blocks = TAPS[flavour].dilate(plan_blocks(SPECS["b0"]), "b0", 16)
        block = next(b for b in blocks if b.name == "block6a")
        assert (block.shape.stride, block.shape.skip) == (1, expected)
