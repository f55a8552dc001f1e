"""Networks of others as rows of the family: counted exactly, scaled as the paper scaled them."""

from __future__ import annotations

import pytest

from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph, pyramid
from edgekit.networks.efficientnet.backbone import BLOCKS, STEMS
from edgekit.networks.efficientnet.baselines import BASELINES, LIBRARY_NAMES
from edgekit.networks.efficientnet.block_plan import STEM_HALVINGS
from edgekit.networks.efficientnet.classifier import HEADS
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.origin import LATER, origin_of, spec_of
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import HEAD_LAYERS, SPECS
from edgekit.networks.efficientnet.stages import KINDS
from edgekit.networks.graph import Graph


def counted(spec, resolution=224):
    return cost(build_graph(spec, resolution=resolution, seed=None))


COUNTS = {  # of Keras 3.15, timm 1.0.31 and torchvision 0.28, at 1000 classes and 224 px
    "mobilenet-v1": (4_231_976, 568_740_352),
    "mobilenet-v2": (3_504_872, 300_774_272),
    "mobilenet-v3-large": (5_483_032, 216_589_760),
    "mobilenet-v3-small": (2_542_856, 56_510_400),
    "mobilenet-v3-large-minimalistic": (3_924_288, 209_136_704),
    "mobilenet-v3-small-minimalistic": (2_044_736, 52_288_448),
    "mnasnet-a1": (3_887_038, 311_579_072),
    "mnasnet-b1": (4_383_312, 314_415_872),
    "resnet-18": (11_689_512, 1_814_073_344),
    "resnet-50": (25_557_032, 4_089_184_256),
}


@pytest.mark.parametrize("name", BASELINES)
def test_parameters_and_operations_are_exact(name):
    found = counted(find_spec(name))
    assert (found.parameters, found.macs) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "width", "parameters"),
    [  # of Keras; the last layer of MobileNetV2 never has fewer than 1280 channels
        ("mobilenet-v1", 0.75, 2_585_560),
        ("mobilenet-v1", 0.5, 1_331_592),
        ("mobilenet-v1", 0.25, 470_072),
        ("mobilenet-v2", 1.4, 6_108_776),
        ("mobilenet-v2", 0.5, 1_968_680),
    ],
)
def test_published_widths_are_exact(name, width, parameters):
    assert counted(scale_spec(BASELINES[name], width=width)).parameters == parameters


@pytest.mark.parametrize(
    ("name", "scaled", "side", "macs"),
    [  # Tan and Le 2019, table 3: as printed, to more digits
        ("mobilenet-v1", {}, 224, 0.569),
        ("mobilenet-v1", {"width": 2}, 224, 2.216),
        ("mobilenet-v1", {}, 448, 2.272),
        ("mobilenet-v1", {"depth": 1.4, "width": 1.2}, 288, 2.243),
        ("mobilenet-v2", {}, 224, 0.301),
        ("mobilenet-v2", {"depth": 4}, 224, 1.220),
        ("mobilenet-v2", {"width": 2}, 224, 1.137),
        ("mobilenet-v2", {}, 448, 1.199),
        ("mobilenet-v2", {"depth": 1.4, "width": 1.2}, 288, 1.284),
    ],
)
def test_compound_scaling_costs_what_the_paper_prints(name, scaled, side, macs):
    spec = scale_spec(BASELINES[name], **scaled)
    assert round(counted(spec, side).macs / 1e9, 3) == macs


def test_compound_scaling_takes_them(capsys):
    assert run(["build", "resnet-18", "--phi", "2", "--dry-run"]) == 0
    assert "resnet-18-phi2" in capsys.readouterr().out
    assert run(["scale", "--model", "mnasnet-a1", "--budget", "100M", "--step", "0.25"]) == 0


def test_they_are_found_by_the_names_that_people_write():
    for name in ("mobilenet-v2", "MobileNetV2", "mobilenet_v2", "mobilenetv2_100.ra_in1k"):
        assert find_spec(name) is BASELINES["mobilenet-v2"]
    assert find_spec("MnasNet-A1").name == "mnasnet-a1"
    assert find_spec("ResNet50").name == "resnet-50"
    assert find_spec("MobileNet").name == "mobilenet-v1"
    assert find_spec("unet-mobilenet-v2").task == "segmentation"


@pytest.mark.parametrize("name", LIBRARY_NAMES)
def test_they_are_found_by_the_names_of_libraries(name):
    for theirs in LIBRARY_NAMES[name]:
        # Keras' function of the minimalistic ones is that of the others.
        assert find_spec(theirs).name == name.removesuffix("-minimalistic" * theirs.startswith("M"))


@pytest.mark.parametrize("name", BASELINES)
def test_a_segmenter_may_be_on_one_and_a_detector_may_not(name):
    spec = find_spec(f"unet-{name}")
    assert build_graph(spec, classes=3, resolution=64, seed=None).output_shape == (64, 64, 3)
    with pytest.raises(UsageError, match=f"no detector on {name}"):
        find_spec(f"det-{name}")


def test_what_a_variant_may_name_is_written():
    assert STEMS.keys() == STEM_HALVINGS.keys()
    assert set(HEADS) == set(HEAD_LAYERS)
    assert BLOCKS.keys() == {"mbconv", "fused", *KINDS}


def test_blocks_of_several_widths_are_numbered_as_published():
    names = {node.name.partition("_")[0] for node in small("mobilenet-v3-large").nodes}
    assert {"block2b", "block4a", "block4d", "block6c"} <= names
    assert "block7a" not in names


def small(name, seed=None):
    return build_graph(scale_spec(BASELINES[name], width=0.25), classes=3, resolution=32, seed=seed)


@pytest.mark.parametrize("name", BASELINES)
def test_a_graph_file_keeps_the_variant(name, tmp_path):
    graph = small(name, seed=1)
    graph.save(tmp_path / "g.safetensors")
    loaded = Graph.load(tmp_path / "g.safetensors")
    assert loaded.nodes == graph.nodes
    assert spec_of(loaded) == scale_spec(BASELINES[name], width=0.25)


def test_files_of_other_variants_are_as_they_were():
    assert not any(field in origin_of(spec) for spec in SPECS.values() for field in LATER)


@pytest.mark.parametrize("name", BASELINES)
def test_the_pyramid_has_five_maps(name):
    graph = small(name)
    assert [graph.shapes[map_][0] for map_ in pyramid(graph)] == [16, 8, 4, 2, 1]
