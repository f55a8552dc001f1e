"""Networks of others in the family's blocks: counted exactly, scaled as the paper scaled them."""

from __future__ import annotations

import pytest

from edgekit.cli import run
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.scaling import scale_spec


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [  # of Keras, timm (semnasnet_100) and torchvision (mnasnet1_0), 1000 classes, 224 px
        ("mobilenet-v2", 3_504_872, 300_774_272),
        ("mnasnet-a1", 3_887_038, 311_579_072),
        ("mnasnet-b1", 4_383_312, 314_415_872),
    ],
)
def test_parameters_and_operations_are_exact(name, parameters, macs):
    found = cost(build_graph(find_spec(name), seed=None))
    assert (found.parameters, found.macs) == (parameters, macs)


def test_they_are_found_by_the_names_that_people_write():
    for name in ("mobilenet-v2", "MobileNetV2", "mobilenet_v2"):
        assert find_spec(name) is BASELINES["mobilenet-v2"]
    assert find_spec("MnasNet-A1").name == "mnasnet-a1"
    assert find_spec("unet-mobilenet-v2").task == "segmentation"


@pytest.mark.parametrize(
    ("scaled", "macs"),
    [  # Tan and Le 2019, table 3: in billions
        ({"depth": 4}, 1.2),
        ({"width": 2}, 1.1),
        ({"width": 1.2, "depth": 1.4}, 1.3),
    ],
)
def test_mobilenet_v2_scales_as_in_the_paper(scaled, macs):
    spec = scale_spec(BASELINES["mobilenet-v2"], **scaled)
    side = 288 if len(scaled) == 2 else 224
    found = cost(build_graph(spec, resolution=side, seed=None)).macs
    assert round(found / 1e9, 1) == macs


def test_compound_scaling_takes_them(tmp_path, capsys):
    assert run(["build", "mobilenet-v2", "--phi", "2", "--dry-run"]) == 0
    assert "mobilenet-v2-phi2" in capsys.readouterr().out
    assert run(["scale", "--model", "mnasnet-a1", "--budget", "100M", "--step", "0.25"]) == 0
