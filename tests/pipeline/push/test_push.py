"""A run on a hub that huggingface_hub itself writes to, and what is read there again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from finished_run import FOLDER, LABELS, SIDE, write_run
from hub_server import serve_hub
from peers import library as peer

from edgekit.cli import run
from edgekit.converters.weights.load import load_weights
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.hub.fetch import fetch_from_hub
from edgekit.networks.efficientnet.hub.record import Record, write_record
from edgekit.networks.efficientnet.hub.reference import HubReference
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.torch_network import Network

WRITER = "hf_of_a_test"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve_hub(tmp_path, monkeypatch) as server:
        server.writers[WRITER] = ("me", "team")
        monkeypatch.setenv("HF_TOKEN", WRITER)
        yield server


#: Small, and a network that no library of others has.
NARROW = scale_spec(find_spec("lite0"), width=0.1, depth=0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    return folder, write_run(folder, NARROW.name, spec=NARROW)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same of a network that timm has."""
    folder = tmp_path_factory.mktemp("run") / "run"
    return folder, write_run(folder)


def push(*words, capsys):
    code = run(["push", *map(str, words)])
    out, err = capsys.readouterr()
    assert WRITER not in out + err
    return code, out, err


def published(hub, name="me/flowers", branch="main"):
    repo = hub.repos[name]
    return repo.commits[repo.revisions[branch]]


def header(files):
    text = files["README.md"].decode()
    front = text.split("---\n")[1]
    import yaml

    return yaml.safe_load(front), text


def test_a_run_is_sent_whole_and_privately_and_its_card_says_what_it_is(hub, whole, capsys):
    code, out, err = push(whole[0], "hf://me/flowers", "--license", "MIT", "--json", capsys=capsys)
    assert code == 0, err
    said, files = json.loads(out), published(hub)
    assert said["created"]
    assert said["commit"] == hub.repos["me/flowers"].revisions["main"]
    assert sorted(said["files"]) == sorted(set(files) - {".gitattributes"})
    assert set(files) >= {
        *("README.md", "model.safetensors", "config.json", "report.json", "report.html"),
        *("labels.txt", "lite0-w8a8-static.tflite", "edgekit.json"),
    }
    assert hub.repos["me/flowers"].private
    assert hub.repos["me/flowers"].messages == ["lite0, by edgekit"]
    data, text = header(files)
    assert data["license"] == "mit"
    assert (data["library_name"], data["pipeline_tag"]) == ("timm", "image-classification")
    assert {"edgekit", "lite0", "tflite", "safetensors", "int8"} == set(data["tags"])
    (result,) = data["model-index"][0]["results"]
    assert result["task"]["type"] == "image-classification"
    assert [metric["value"] for metric in result["metrics"]] == [0.9, 0.895]
    assert {metric["type"] for metric in result["metrics"]} == {"accuracy"}
    for part in ("85.00 to 94.00", "2,000 photos to train", "optimizer adamw", *LABELS):
        assert part in text
    assert "mixup" not in text  # which was not used
    assert 'timm.create_model("hf-hub:me/flowers", pretrained=True)' in text


def test_no_file_but_the_page_names_a_folder_of_the_sender(hub, made, capsys):
    code, _, _ = push(made[0], "hf://me/flowers", "--no-report", capsys=capsys)
    assert code == 0
    files = published(hub)
    assert "report.html" not in files
    assert not [name for name, body in files.items() if FOLDER.encode() in body]
    assert json.loads(files["report.json"])["data"]["source"] == "--data flowers"


def test_timm_loads_from_the_hub_what_was_pushed(hub, whole, capsys):
    timm = peer("timm")
    assert push(whole[0], "hf://me/flowers", capsys=capsys)[0] == 0
    model = timm.create_model("hf-hub:me/flowers", pretrained=True).eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE))).float()
    with torch.inference_mode():
        wanted = Network(whole[1]).eval()(x)
        assert torch.allclose(model(x), wanted, atol=1e-4 * float(np.ptp(wanted.numpy())))
    assert model.pretrained_cfg["label_names"] == list(LABELS)


def test_edgekit_reads_the_weights_again_with_their_licence(hub, whole, capsys):
    assert push(whole[0], "hf://me/flowers", "--license", "mit", capsys=capsys)[0] == 0
    config = json.loads(published(hub)["config.json"])
    assert config["pretrained_cfg"]["license"] == "mit"
    path = fetch_from_hub(HubReference("me/flowers"), find_spec("lite0")).path
    again = load_weights(path, find_spec("lite0"), resolution=SIDE).graph
    for name, array in whole[1].weights.items():
        assert np.allclose(again.weights[name], array, atol=1e-6), name


def test_a_second_push_is_another_commit_that_takes_away_what_is_gone(hub, made, capsys):
    assert push(made[0], "hf://me/flowers", "--public", capsys=capsys)[0] == 0
    assert not hub.repos["me/flowers"].private
    first = set(published(hub))
    sent = len([path for path in hub.asked("PUT") if path.startswith("/lfs/")])
    words = ("--public", "--no-report", "--message", "without the page")
    code, out, _ = push(made[0], "hf://me/flowers", *words, capsys=capsys)
    assert code == 0
    assert out.startswith("updated ")
    assert first - set(published(hub)) == {"report.html"}
    assert hub.repos["me/flowers"].messages[-1] == "without the page"
    assert len([path for path in hub.asked("PUT") if path.startswith("/lfs/")]) == sent


def test_a_branch_is_made_where_there_is_none(hub, made, capsys):
    assert push(made[0], "hf://me/flowers", "--revision", "v2", capsys=capsys)[0] == 0
    assert set(published(hub)) == {".gitattributes"}
    assert "README.md" in published(hub, branch="v2")
    assert push(made[0], "hf://me/flowers", "--revision", "v2", capsys=capsys)[0] == 0


def test_a_dry_run_writes_the_folder_and_asks_nobody(hub, made, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    out = tmp_path / "there"
    code, shown, err = push(made[0], "hf://me/flowers", "--dry-run", "-o", out, capsys=capsys)
    assert code == 0
    assert hub.requests == []
    assert {str(path) for path in out.iterdir()} == set(shown.splitlines())
    assert "the licence is unknown" in err
    assert header({"README.md": (out / "README.md").read_bytes()})[0]["license"] == "unknown"
    assert push(made[0], "hf://me/flowers", "--dry-run", "-o", out, capsys=capsys)[0] == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"HF_TOKEN": None}, "there is no login"),
        ({"HF_TOKEN": "hf_wrong"}, "does not accept the token"),
        ({"EDGEKIT_OFFLINE": "1"}, "EDGEKIT_OFFLINE or HF_HUB_OFFLINE forbids the network"),
        ({"HF_ENDPOINT": "http://hub.example"}, "no token is sent to hub.example over plain http"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be sent to 127.0.0.1"),
    ],
)
def test_what_keeps_a_run_from_being_sent_is_said(hub, made, capsys, monkeypatch, change, says):
    for name, value in change.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    code, out, err = push(made[0], "hf://me/flowers", capsys=capsys)
    assert (code, out) == (1, "")
    assert says in err
    assert "me/flowers" not in hub.repos


def test_a_token_without_the_right_to_write_is_said(hub, made, capsys):
    code, _, err = push(made[0], "hf://others/flowers", capsys=capsys)
    assert code == 1
    assert "the token may not write to others/flowers" in err


def test_a_repository_that_holds_something_else_is_left_alone(hub, made, capsys):
    hub.publish("me/flowers", {"model.bin": b"theirs"}, private=True)
    code, _, err = push(made[0], "hf://me/flowers", capsys=capsys)
    assert code == 2
    assert "holds something else" in err
    assert "model.bin" in err
    assert set(published(hub)) == {"model.bin"}
    assert push(made[0], "hf://me/flowers", "--overwrite", capsys=capsys)[0] == 0
    assert {"model.bin", "README.md"} <= set(published(hub))


def test_a_run_of_another_network_does_not_replace_one(hub, made, tmp_path, capsys):
    assert push(made[0], "hf://me/flowers", capsys=capsys)[0] == 0
    other = scale_spec(find_spec("lite0"), width=0.2, depth=0.1)
    write_run(tmp_path / "other", other.name, spec=other)
    code, _, err = push(tmp_path / "other", "hf://me/flowers", capsys=capsys)
    assert code == 2
    assert f"it holds {NARROW.name}, and this run is of {other.name}" in err


def test_a_private_run_does_not_go_to_a_public_repository_unasked(hub, made, capsys):
    hub.publish("me/flowers", {})
    code, _, err = push(made[0], "hf://me/flowers", capsys=capsys)
    assert code == 2
    assert "is public, and was asked for as private" in err


def test_a_network_that_timm_does_not_have_goes_as_edgekits(hub, made, capsys):
    code, _, err = push(made[0], "hf://me/small", capsys=capsys)
    assert code == 0, err
    files = published(hub, "me/small")
    assert header(files)[0]["library_name"] == "edgekit"
    found = fetch_from_hub(HubReference("me/small"), NARROW)
    again = load_weights(found.path, NARROW, resolution=SIDE).graph
    for key, array in made[1].weights.items():
        assert np.array_equal(again.weights[key], array), key


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("me/flowers", "does not name a repository to write to"),
        ("hf://me/flowers@v2", "--revision BRANCH"),
        ("hf://flowers", "does not name a repository"),
    ],
)
def test_what_is_no_repository_is_refused(hub, made, capsys, to, says):
    code, _, err = push(made[0], to, capsys=capsys)
    assert code == 2
    assert says in err


def test_weights_of_a_hub_bring_their_licence_and_their_name(hub, tmp_path, capsys):
    name = "org/weights"
    origin = {"name": f"hf://{name}", "url": f"{hub.url}/{name}"}
    write_record(HubReference(name), Record("c" * 40, {}, "cc-by-nc-4.0"))
    data = "hf://datasets/org/flowers@v1"
    write_run(tmp_path / "run", NARROW.name, spec=NARROW, origin=origin, data=data)
    assert push(tmp_path / "run", "hf://me/flowers", capsys=capsys)[0] == 0
    found, text = header(published(hub))
    assert found["license"] == "cc-by-nc-4.0"
    assert found["base_model"] == name
    assert found["datasets"] == ["org/flowers"]
    assert name in text
