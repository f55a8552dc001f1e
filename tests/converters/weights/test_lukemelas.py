"""EfficientNet-PyTorch's names, held to a forward pass that is written out here by those names."""

import dataclasses
import math
import sys
import types

import pytest
import torch
from state_dicts import assert_same, to_torch
from torch.nn import functional

from edgekit.converters.weights import lukemelas
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.verify import compare
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN, SPECS
from edgekit.networks.torch_network import Network

EXAMPLES = {
    "stem/kernel": "_conv_stem.weight",
    "stem/mean": "_bn0.running_mean",
    "block1a_depthwise/kernel": "_blocks.0._depthwise_conv.weight",
    "block1a_depthwise/gamma": "_blocks.0._bn1.weight",
    "block1a_project/beta": "_blocks.0._bn2.bias",
    "block2b_expand/kernel": "_blocks.2._expand_conv.weight",
    "block2b_expand/variance": "_blocks.2._bn0.running_var",
    "block7a_se_reduce/bias": "_blocks.15._se_reduce.bias",
    "block7a_se_expand/kernel": "_blocks.15._se_expand.weight",
    "head/kernel": "_conv_head.weight",
    "head/gamma": "_bn1.weight",
    "logits/kernel": "_fc.weight",
}
#: Of B0, block by block: kernel, stride, expansion, channels in and out (the paper's table 1).
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
BLOCKS = [
    (kernel, stride if repeat == 0 else 1, expand, channels if repeat == 0 else out, out)
    for repeats, kernel, stride, expand, channels, out in STAGES
    for repeat in range(repeats)
]


def test_names():
    names = lukemelas.NAMES.of(build_graph(SPECS["b0"], resolution=32, seed=None))
    for ours, theirs in EXAMPLES.items():
        assert names[ours] == theirs
    assert len(set(names.values())) == len(names)


@pytest.fixture(scope="module")
def state():
    """The state dict of a B0 with 5 classes, by the names in EfficientNet-PyTorch."""
    generator = torch.Generator().manual_seed(0)
    found = {}

    def conv(name, out, channels, kernel, bias=False):
        scale = math.sqrt(2 / (channels * kernel**2))
        found[f"{name}.weight"] = scale * torch.randn(
            out, channels, kernel, kernel, generator=generator
        )
        if bias:
            found[f"{name}.bias"] = torch.randn(out, generator=generator)

    def norm(name, channels):
        for key, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 2),
        ):
            drawn = torch.rand(channels, generator=generator)
            found[f"{name}.{key}"] = low + (high - low) * drawn
        found[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    for index, (kernel, _, expand, channels, out) in enumerate(BLOCKS):
        block, wide = f"_blocks.{index}", channels * expand
        if expand != 1:
            conv(f"{block}._expand_conv", wide, channels, 1)
            norm(f"{block}._bn0", wide)
        conv(f"{block}._depthwise_conv", wide, 1, kernel)
        norm(f"{block}._bn1", wide)
        conv(f"{block}._se_reduce", channels // 4, wide, 1, bias=True)
        conv(f"{block}._se_expand", wide, channels // 4, 1, bias=True)
        conv(f"{block}._project_conv", out, wide, 1)
        norm(f"{block}._bn2", out)
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    found["_fc.weight"] = torch.randn(5, 1280, generator=generator) / 30
    found["_fc.bias"] = torch.randn(5, generator=generator)
    return found


def forward(state, x):
    """What the original computes: it pads as TensorFlow does, and adds 1e-3 to variances."""

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        pads = [
            max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]
        ]
        high, wide = pads
        x = functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return functional.conv2d(x, weight, state.get(f"{name}.bias"), stride, groups=groups)

    def norm(x, name):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        gamma, beta = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

    x = functional.silu(norm(conv(x, "_conv_stem", 2), "_bn0"))
    for index, (_, stride, expand, channels, out) in enumerate(BLOCKS):
        block, shortcut = f"_blocks.{index}", x
        if expand != 1:
            x = functional.silu(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
        x = conv(x, f"{block}._depthwise_conv", stride, x.shape[1])
        x = functional.silu(norm(x, f"{block}._bn1"))
        gate = functional.silu(conv(x.mean((2, 3), keepdim=True), f"{block}._se_reduce"))
        x = x * torch.sigmoid(conv(gate, f"{block}._se_expand"))
        x = norm(conv(x, f"{block}._project_conv"), f"{block}._bn2")
        if stride == 1 and channels == out:
            x = x + shortcut
    x = functional.silu(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return x @ state["_fc.weight"].T + state["_fc.bias"]


@pytest.mark.parametrize("side", [64, 75])
def test_logits(state, tmp_path, side):
    torch.save(state, tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", SPECS["b0"])
    assert (loaded.source, loaded.graph.classes, loaded.fresh_head) == ("lukemelas", 5, False)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs, ours = forward(state, x), Network(loaded.graph).eval()(x)
    spread = (theirs.amax(0) - theirs.amin(0)).max()
    assert ((ours - theirs).abs().max() / spread).item() < 1e-4


@pytest.mark.parametrize("model", ["b0", "b1", "b8"])
def test_a_state_dict_comes_back(model, tmp_path):
    graph = build_graph(SPECS[model], classes=2, resolution=32, seed=4 if model != "b8" else None)
    if model == "b8":  # 87 million weights: names and shapes are enough
        assert set(lukemelas.NAMES.of(graph)) == set(graph.weights)
        return
    state = {n: torch.from_numpy(a) for n, a in to_torch(graph, lukemelas.NAMES).items()}
    torch.save(state, tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", SPECS[model], resolution=32)
    assert_same(loaded.graph, graph)


@pytest.mark.parametrize(
    ("file", "mean"),
    [
        ("efficientnet-b0-355c32eb.pth", IMAGENET_MEAN),
        ("adv-efficientnet-b0-b64d5a18.pth", (127.5,) * 3),
    ],
)
def test_the_preprocessing_is_assumed_and_said_to_be(state, tmp_path, file, mean):
    torch.save(state, tmp_path / file)
    loaded = load_weights(tmp_path / file, SPECS["b0"])
    assert spec_of(loaded.graph).mean == mean
    assert (spec_of(loaded.graph).padding, spec_of(loaded.graph).epsilon) == ("same", 1e-3)
    assert len(loaded.assumptions) == 1
    assert "AdvProp" in loaded.assumptions[0]
    assert loaded.said == (f"assumed: {loaded.assumptions[0]}",)


def test_a_variant_that_it_does_not_have_is_refused(state, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="EfficientNet-PyTorch has no lite0"):
        load_weights(tmp_path / "w.pth", SPECS["lite0"])


class StandIn(torch.nn.Module):
    """A network of the library, as far as `verify` uses it."""

    def load_state_dict(self, state, strict=True):
        self.state = state
        return [], []

    def forward(self, x):
        return forward(self.state, x)


@pytest.mark.parametrize("ema", [True, False])
@pytest.mark.parametrize("planted", [False, True])
def test_the_weights_that_were_read_are_those_that_are_compared(
    state, tmp_path, monkeypatch, ema, planted
):
    library = types.SimpleNamespace(
        EfficientNet=types.SimpleNamespace(from_name=lambda name, **options: StandIn()),
        __version__="0",
    )
    monkeypatch.setitem(sys.modules, "efficientnet_pytorch", library)
    averaged = {n: t * 1.1 if n.endswith("_bn2.bias") else t for n, t in state.items()}
    torch.save({"net": state, "net_ema": averaged}, tmp_path / "w.pth")
    loaded = load_weights(tmp_path / "w.pth", SPECS["b0"], ema=ema)
    if planted:
        weights = {**loaded.graph.weights}
        weights["block4a_project/beta"] = weights["block4a_project/beta"] + 0.5
        loaded = dataclasses.replace(loaded, graph=loaded.graph.with_weights(weights))
    found = compare(tmp_path / "w.pth", loaded)
    assert found.against == "efficientnet_pytorch 0, efficientnet-b0"
    assert found.agrees != planted
