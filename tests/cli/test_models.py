import json

import pytest

from edgekit.cli import run
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.catalog import list_models
from edgekit.networks.efficientnet.spec import SPECS


def test_json_is_a_plain_list(capsys):
    assert run(["models", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert err == ""
    assert rows == list_models()
    assert list(rows[0])[:3] == ["name", "parameters", "macs"]


def test_json_of_one_is_a_list_of_one(capsys):
    assert run(["models", "v2-s", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "v2-s"
    assert row["published"][0]["source"]


def test_the_table_has_a_line_for_every_variant(capsys):
    assert run(["models"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(SPECS)]] == list(SPECS)
    assert lines[len(SPECS)] == ""
    for line in lines[: len(SPECS)]:
        assert line.split()[-1] in ("low", "medium", "high")
        assert len(line) <= 80
    others = lines[len(SPECS) + 2 :][: len(BASELINES)]
    assert [line.split()[0] for line in others] == list(BASELINES)
    assert max(map(len, others)) <= 80
    # Lite3's float figure is the one at its own resolution.
    lite3 = next(line for line in lines if line.startswith("lite3"))
    assert lite3.split()[-2] == "79.21"
    assert "fp32 %" in header


def test_a_card_gives_figures_with_their_sources(capsys):
    assert run(["models", "lite0"]) == 0
    out = capsys.readouterr().out
    assert "parameters   4,652,008" in out
    assert "int8 risk    low: relu6" in out
    figure = next(line for line in out.splitlines() if "75.10  74.40   0.70  PTQ, TFLite" in line)
    number = figure.rsplit(" ", 1)[1]
    assert f"  {number} tensorflow/tpu efficientnet/lite README.md" in out
    assert "6.5  Pixel 4, CPU, 4 threads, int8" in out
    assert "KL divergence" in out


@pytest.mark.parametrize("name", [*SPECS, *BASELINES])
def test_every_variant_has_a_card(name, capsys):
    assert run(["models", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name}\n")


@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        ("unet-lite0", "U-Net, channels 64, 48, 32, 24, 16"),
        ("deeplab-b0", "DeepLabV3+, 128 channels, output stride 16"),
    ],
)
def test_a_network_for_segmentation_has_a_card(name, decoder, capsys):
    assert run(["models", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}\n  decoder      {decoder}\n")
    assert "at 21 classes" in out
    assert "of the backbone, as the decoder is convolutions and ReLU" in out


def test_costs_on_a_target(capsys):
    assert run(["models", "--target", "edgetpu"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[: len(SPECS)]}
    assert list(rows) == list(SPECS)
    assert "0 B" in rows["lite0"]
    assert "0 B" not in rows["lite4"]
    assert run(["models", "es", "--target", "edgetpu", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "es"
    assert row["measured_ms"] == 5.1
    assert row["parameter_bytes"] > row["file_parameter_bytes"]


def test_costs_on_a_target_without_any(capsys):
    assert run(["models", "--target", "tflite"]) == 2
    assert "--target edgetpu" in capsys.readouterr().err
