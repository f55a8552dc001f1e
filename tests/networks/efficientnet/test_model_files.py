"""Networks of one's own: files that every command takes as a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.model_files import write_model
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.nodes import activation_of

DOORBELL = """
base = "b0"
name = "doorbell"
resolution = 64
stem = 16
head = 256
stages = ["r1_k3_s1_e1_i16_o16", "r2_k3_s2_e4_i16_o24_c1", "r1_k5_s2_e6_i24_o48_se0.25"]
"""


def written(folder: Path, text: str, name: str = "own.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_file_is_its_base_but_for_what_it_says(tmp_path):
    spec = find_spec(written(tmp_path, DOORBELL))
    wanted = replace(
        SPECS["b0"],
        name="doorbell",
        resolution=64,
        stem=16,
        head=256,
        stages=("r1_k3_s1_e1_i16_o16", "r2_k3_s2_e4_i16_o24_c1", "r1_k5_s2_e6_i24_o48_se0.25"),
    )
    assert spec == wanted
    graph = build_graph(spec, classes=5, seed=None)
    assert graph.shapes[graph.input] == (64, 64, 3)
    assert graph.shapes[graph.output] == (5,)


RESIDUAL = """
base = "resnet-18"
name = "little"
resolution = 64
stem = 16
head_layers = "pooled"
head = 48
hidden = 32
activation = "hard-swish"
stages = ["r1_k3_s1_e1_i16_o16_basic", "r2_k3_s2_e0.25_i16_o64_bottleneck_nre"]
"""


def test_a_file_may_have_the_parts_of_other_networks(tmp_path):
    spec = find_spec(written(tmp_path, RESIDUAL))
    graph = build_graph(spec, classes=3, seed=None)
    assert graph.shapes["stem_pool"] == (16, 16, 16)
    assert graph.shapes["block2b_conv2"] == (8, 8, 16)
    assert graph.shapes["embedding"] == (32,)
    assert activation_of(graph.node("block1a_add")) == "hard-swish"
    write_model(spec, tmp_path / "again.toml", base="resnet-18")
    assert find_spec(str(tmp_path / "again.toml")) == spec


def test_a_network_without_a_name_has_the_files(tmp_path):
    path = written(tmp_path, "width = 0.5\n", "My network (2).toml")
    spec = find_spec(path)
    assert (spec.name, spec.width, spec.depth) == ("My-network-2", 0.5, 1.0)
    whole = written(tmp_path, 'base = "unet-lite0"\nwidth = 1\n', "seg.toml")
    assert find_spec(whole) == replace(find_spec("unet-lite0"), name="seg")


@pytest.mark.parametrize("name", ["b0", "lite0", "v2-s", "es"])
def test_what_is_written_is_read(tmp_path, name):
    spec = replace(
        SPECS[name],
        name="found-3",
        resolution=96,
        width=1 / 3,
        mean=(1.5, 2.0, 3.25),
        squeeze_excite=False,
        stages=SPECS[name].stages[:3],
    )
    path = tmp_path / "found.toml"
    write_model(spec, path, base=name, comment="found by a search\nof 30 networks")
    assert find_spec(str(path)) == spec
    assert path.read_text().startswith("# found by a search\n# of 30 networks\nbase = ")
    write_model(SPECS[name], path, base=name)
    assert path.read_text() == f'base = "{name}"\nname = "{name}"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stages = ", "is no TOML"),
        ('base = "b99"', "unknown model 'b99'"),
        ('base = "other.toml"', "base must be the name of a variant"),
        ("widht = 0.5", "a network has no 'widht'"),
        ('decoder = "unet"', "a network has no 'decoder'"),
        ('width = "0.5"', "width must be such as 1.0, not '0.5'"),
        ("resolution = 96.5", "resolution must be such as 224"),
        ("resolution = true", "resolution must be such as 224"),
        ("squeeze_excite = 1", "squeeze_excite must be such as true"),
        ("stages = []", "stages must be a list"),
        ("mean = [1, 2, true]", "mean must be a list"),
        ("mean = [1, 2]", "mean is out of range"),
        ("std = [1, 0, 1]", "std is out of range"),
        ("width = nan", "width is out of range"),
        ("resolution = 16", "resolution is out of range"),
        ('activation = "gelu"', "unknown activation 'gelu'"),
        ('head_layers = "two"', "unknown head_layers 'two'"),
        ('stem_layers = "conv9x9"', "unknown stem_layers 'conv9x9'"),
        ('squeeze_rule = "half"', "unknown squeeze_rule 'half'"),
        ("hidden = 0", "hidden is out of range"),
        ('stages = ["r1_k3_s1_e1_i32_o16_cont"]', "stage 1 continues none"),
        ('name = "../b0"', "the name '../b0' cannot be part of a file's"),
        ('stages = ["r1_k3_s1_e1_i32"]', "stage 1 is no string of a stage"),
        (
            'stages = ["r1_k3_s1_e1_i32_o16", "r1_k3_s2_e6_i24_o24"]',
            "stage 2 begins with 24 channels, and stage 1 ends with 16",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, says):
    with pytest.raises(UsageError) as caught:
        find_spec(written(tmp_path, text))
    assert says in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot read the model"):
        find_spec(str(tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is no TOML"):
        find_spec(str(tmp_path / "bytes.toml"))


def test_commands_take_a_file_as_a_model(tmp_path, capsys):
    path = written(tmp_path, DOORBELL)
    assert run(["build", path, "--dry-run", "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert run(["models", path, "--json"]) == 0
    macs = cost(build_graph(find_spec(path), seed=None)).macs
    assert str(macs) in capsys.readouterr().out
    assert run(["build", path, "--width", "0.5", "--dry-run"]) == 0
