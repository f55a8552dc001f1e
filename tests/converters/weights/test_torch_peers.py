"""timm's and torchvision's own networks against ours, where the two are installed."""

import functools

import pytest
import torch
from peers import library

from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.verify import compare
from edgekit.networks.efficientnet.baselines import LIBRARY_NAMES
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.torch_network import Network

TIMM = [
    "efficientnet_b0",
    "tf_efficientnet_b0",
    "efficientnet_lite0",
    "tf_efficientnet_lite0",
    "tf_efficientnet_es",
    "tf_efficientnetv2_b0",
    "tf_efficientnetv2_b3",
    "tf_efficientnetv2_s",
]
TORCHVISION = ["efficientnet_b0", "efficientnet_b5", "efficientnet_v2_s"]


def with_statistics(model):
    """Statistics of noise, scales and offsets that no default hides."""
    generator = torch.Generator().manual_seed(1)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5, generator=generator)
        torch.nn.init.normal_(norm.bias, 0, 0.3, generator=generator)
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 75, 75, generator=generator))
        for norm in norms:
            norm.running_var.mul_(1.2).add_(0.01)
    return model.eval()


def difference(model, graph, side):
    """Of our logits to theirs, over how far the photos' logits differ."""
    x = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        theirs, ours = model(x), Network(graph).eval()(x)
    spread = (theirs.amax(0) - theirs.amin(0)).max()
    return ((ours - theirs).abs().max() / spread).item()


@pytest.mark.parametrize("name", TIMM)
def test_timm(name, tmp_path):
    model = with_statistics(library("timm").create_model(name, num_classes=5))
    torch.save(model.state_dict(), tmp_path / f"{name}.pth")
    loaded = load_weights(tmp_path / f"{name}.pth", find_spec(name))
    assert loaded.source == ("timm-tf" if name.startswith("tf_") else "timm")
    assert max(difference(model, loaded.graph, side) for side in (64, 75)) < 1e-4
    other = {"timm": "timm-tf", "timm-tf": "timm"}[loaded.source]
    wrong = load_weights(tmp_path / f"{name}.pth", find_spec(name), source=other)
    assert difference(model, wrong.graph, 64) > 0.01


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name, tmp_path):
    model = with_statistics(getattr(library("torchvision.models"), name)(num_classes=5))
    torch.save(model.state_dict(), tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", find_spec(name.replace("_v2_", "v2-")))
    assert loaded.source == "torchvision"
    assert max(difference(model, loaded.graph, side) for side in (64, 75)) < 1e-4


def baselines():
    """Each baseline in each library that has it; the larger ones in the whole suite alone."""
    for name, names in LIBRARY_NAMES.items():
        known = {"timm": (names.timm, names.port), "torchvision.models": (names.torchvision,)}
        for module, theirs in ((m, one) for m, found in known.items() for one in found if one):
            marks = pytest.mark.slow if "large" in name or name == "resnet-50" else ()
            yield pytest.param(name, module, theirs, marks=marks, id=f"{module[:5]}-{theirs}")


def original(module, name, classes=5):
    peer = library(module)
    build = functools.partial(peer.create_model, name) if module == "timm" else getattr(peer, name)
    return with_statistics(build(num_classes=classes))


@pytest.mark.parametrize(("name", "module", "theirs"), [*baselines()])
def test_baselines(name, module, theirs, tmp_path):
    model = original(module, theirs)
    torch.save(model.state_dict(), tmp_path / f"{theirs}.pth")
    loaded = load_weights(tmp_path / f"{theirs}.pth", find_spec(theirs))
    own = {"timm": "timm-tf" if theirs.startswith("tf_") else "timm"}.get(module, "torchvision")
    assert loaded.source == ("torchvision" if theirs.startswith("resnet") else own)
    assert loaded.graph.name == name
    # In float64, as their logits hardly differ from photo to photo: what is left is no rounding.
    x = torch.randn(2, 3, 43, 32, generator=torch.Generator().manual_seed(2)).double()
    with torch.inference_mode():
        answer, ours = model.double()(x), Network(loaded.graph).double().eval()(x)
        other = model(x.flip(3))
    assert (ours - answer).abs().max() < 1e-9 * answer.abs().max()
    assert (other - answer).abs().max() > 1e-5 * answer.abs().max()


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize(
    ("module", "theirs"),
    [
        ("timm", "mobilenetv3_small_100"),
        ("torchvision.models", "mobilenet_v3_small"),
        ("torchvision.models", "mobilenet_v2"),
        ("torchvision.models", "resnet18"),
    ],
)
def test_baselines_are_verified_with_their_library(module, theirs, classes, tmp_path):
    path = tmp_path / f"{theirs}.pth"
    torch.save(original(module, theirs).state_dict(), path)
    loaded = load_weights(path, find_spec(theirs), classes=classes)
    found = compare(path, loaded)
    assert theirs in found.against
    assert found.difference < 1e-5
    assert ("up to the embedding" in found.against) == (classes == 3)
