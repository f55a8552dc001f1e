"""What the commands print: results on stdout, the rest on stderr."""

import json

import pytest

from edgekit.cli.pretrained import fetch_weights, list_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet import pretrained
from edgekit.networks.efficientnet.pretrained import Pretrained
from edgekit.networks.efficientnet.spec import SPECS


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
