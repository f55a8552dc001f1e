"""What the commands print: results on stdout, the rest on stderr."""

import json
from pathlib import Path

import pytest
from hub_server import serve_hub

from edgekit.cli.pretrained import fetch_weights, list_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet import pretrained
from edgekit.networks.efficientnet.pretrained import Pretrained
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.system.text import NOTHING


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEKIT_MIRROR", raising=False)
    return tmp_path / "cache" / "weights"


def test_the_list_names_every_variant(capsys):
    list_weights()
    out, err = capsys.readouterr()
    head, *rows = out.splitlines()
    assert head.split() == ["model", "size", "hash", "licence", "cached", "url"]
    assert [row.split()[0] for row in rows] == list(SPECS)
    places = [head.index(word) for word in ("size", "hash", "licence", "cached", "url")]
    assert all(row[place - 1] == " " != row[place] for row in rows for place in places)
    assert "sha256 prefix: trusted on first use" in out
    assert err == ""


def test_the_list_says_what_is_cached(capsys, folder):
    folder.mkdir(parents=True)
    (folder / pretrained.find("b0").file).write_bytes(b"")
    list_weights(json=True)
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["b0"]["cached"] == str(folder / "efficientnetb0.h5")
    assert rows["b1"]["cached"] is None
    assert rows["b0"]["hash_kind"] == "md5"
    assert rows["b0"]["tensor_bytes"] == 4 * 5_330_564
    assert rows["b0"]["size"] is None


def test_fetch_prints_the_path_and_nothing_else(capsys, folder, tmp_path, monkeypatch):
    (tmp_path / "w.bin").write_bytes(b"weights")
    row = Pretrained(
        "b0", "https://x.invalid/w.bin", "w.bin", None, None, "keras", "", 1000, "", ""
    )
    monkeypatch.setattr(pretrained, "_registry", lambda: {"b0": row})
    fetch_weights("b0", mirror=str(tmp_path))
    out, err = capsys.readouterr()
    assert out == f"{folder / 'w.bin'}\n"
    assert "[1/1] fetch w.bin" in err
    assert "trusted on first use" in err


def test_an_unknown_model_is_a_usage_error():
    with pytest.raises(UsageError):
        fetch_weights("resnet50")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve_hub(tmp_path, monkeypatch) as server:
        yield server


def test_the_list_of_a_variant_has_both_kinds_and_says_which_is_the_default_and_why(capsys):
    list_weights("EfficientNet-B0")
    out = capsys.readouterr().out
    assert "efficientnetb0.h5" in out
    assert "efficientnetb1.h5" not in out
    assert "names no weights: the publisher's own file, its whole hash is published" in out
    row = next(line for line in out.splitlines() if line.startswith("efficientnet_b0.ra4_e3600"))
    assert row.split()[1:6] == ["78.57", "224", "1,000", "apache-2.0", "timm"]
    assert "Of noisy-student: timm's README: they do not appear to have a restriction" in out
    assert "Of google: timm's README: it is not clear what ImageNet's terms" in out
    assert "Of timm: timm's README: one should assume" in out
    assert "--weights hub` takes tf_efficientnet_b0.ns_jft_in1k" in out
    assert "yours to judge" in out


def test_a_figure_that_nobody_published_is_not_made_up(capsys):
    list_weights("v2-s")
    row = next(x for x in capsys.readouterr().out.splitlines() if "v2_s.in21k " in x)
    assert row.split()[1:4] == [NOTHING, "300", "21,843"]


def test_the_list_of_a_variant_for_programs(capsys, hub):
    hub.publish("timm/efficientnet_lite0.ra_in1k", {"model.safetensors": b"weights"})
    fetch_weights("efficientnet_lite0.ra_in1k")
    capsys.readouterr()
    list_weights("lite0", json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["default"] == "imagenet"
    assert found["imagenet"]["model"] == "lite0"
    rows = {row["tag"]: row for row in found["hub"]}
    best = rows["efficientnet_lite0.ra_in1k"]
    assert (best["best"], best["fetched"], best["top1"]) == (True, True, [[224, 75.488]])
    other = rows["tf_efficientnet_lite0.in1k"]
    assert (other["best"], other["fetched"]) == (False, False)
    assert "of 2 for lite0" in found["best_because"]


def test_fetch_takes_what_is_on_a_hub(capsys, hub):
    commit = hub.publish("me/net", {"model.safetensors": b"weights"})
    fetch_weights("hf://me/net")
    out, err = capsys.readouterr()
    path = Path(out.strip())
    assert out == f"{path}\n"
    assert (path.name, path.read_bytes()) == ("model.safetensors", b"weights")
    assert "[1/1] fetch hf://me/net" in err
    assert commit in err
