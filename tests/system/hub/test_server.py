"""What the library of the hub is asked for, and that nothing else is."""

import os
import subprocess
import sys

import pytest
from hidden import path_without
from hub_server import serve_hub
from prerequisites import needs

from edgekit.errors import EdgekitError, UsageError
from edgekit.system.hub.server import Hub, drop

FILES = {"model.safetensors": b"weights " * 1000, "config.json": b"{}"}


@pytest.fixture
def server(tmp_path, monkeypatch):
    with serve_hub(tmp_path, monkeypatch) as server:
        yield server


def test_a_repository_is_listed_at_its_commit_with_its_licence(server):
    commit = server.publish("me/net", FILES, licence="mit")
    found = Hub.open().list_files("me/net", None)
    assert (found.commit, found.licence) == (commit, "mit")
    assert found.files["config.json"].size == 2
    assert found.files["config.json"].sha256 is None
    assert len(found.files["model.safetensors"].sha256) == 64


def test_a_card_may_name_no_licence(server):
    server.publish("me/net", FILES, licence=None)
    assert Hub.open().list_files("me/net", None).licence is None


def test_a_file_is_received_once_and_can_be_deleted(server):
    server.publish("me/net", FILES)
    hub = Hub.open()
    repository = hub.list_files("me/net", None)
    assert hub.cached("me/net", repository.commit, "config.json") is None
    for _ in range(2):
        path = hub.receive(repository, "config.json", limit_bytes=10)
    assert path == hub.cached("me/net", repository.commit, "config.json")
    assert len([one for one in server.asked("GET") if one.endswith("config.json")]) == 1
    drop(path)
    assert hub.cached("me/net", repository.commit, "config.json") is None


def test_a_file_that_sends_more_than_it_may_is_cut_off(server):
    server.publish("me/net", FILES, lists_hashes=False)
    hub = Hub.open()
    repository = hub.list_files("me/net", None)
    with pytest.raises(EdgekitError, match="is not fetched"):
        hub.receive(repository, "model.safetensors", limit_bytes=100)
    unlisted = repository.files["model.safetensors"].__class__("model.safetensors", None, None)
    repository.files["model.safetensors"] = unlisted
    with pytest.raises(EdgekitError, match="is not fetched") as caught:
        hub.receive(repository, "model.safetensors", limit_bytes=100)
    assert "100 B" in caught.value.cause


@needs("huggingface_hub")
def test_the_cache_is_the_librarys_own_unless_ours_is_named(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    assert Hub.open().cache == tmp_path / "weights" / "hub"
    monkeypatch.delenv("EDGEKIT_CACHE")
    assert str(Hub.open().cache) == constants.HF_HUB_CACHE


@needs("huggingface_hub")
def test_the_librarys_switch_forbids_the_network_as_ours_does(monkeypatch):
    from huggingface_hub import constants

    assert not Hub.open().offline
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert Hub.open().offline


@pytest.mark.parametrize("name", ["a--b/c", "a/b..c", f"a/{'b' * 100}"])
def test_what_cannot_be_a_name_is_said_plainly(server, name):
    with pytest.raises(UsageError, match="is no name of a repository"):
        Hub.open().list_files(name, None)
    assert server.requests == []


def test_a_server_that_is_no_hub_is_said_plainly(server):
    server.info = {"id": "me/net", "siblings": []}
    with pytest.raises(EdgekitError, match="does not say which commit"):
        Hub.open().list_files("me/net", None)
    server.info = {"message": "welcome"}
    with pytest.raises(EdgekitError, match=r"what 127\.0\.0\.1 says of me/net is not understood"):
        Hub.open().list_files("me/net", None)


def test_nobody_is_told_which_program_calls(server):
    """The library would ask the public hub for a list of them, for the name that it sends."""
    server.publish("me/net", FILES)
    Hub.open().list_files("me/net", None)
    (agent,) = {headers["user-agent"] for _, _, headers in server.requests}
    assert agent.startswith("edgekit/")
    assert "torch" not in agent


PROGRAM = "import sys; from edgekit.cli import run; sys.exit(run(sys.argv[1:]))"


@pytest.mark.parametrize(
    "words",
    ["weights fetch hf://timm/efficientnet_b0.ra_in1k", "build b0 --weights hub --dry-run"],
)
def test_without_the_extra_the_command_that_installs_it_is_named(tmp_path, words):
    path = path_without(tmp_path, "huggingface_hub")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words.split()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "EDGEKIT_CACHE": str(tmp_path)},
    )
    assert done.returncode == 3, done.stderr
    assert 'pip install "edgekit[hub]"' in done.stderr
