"""Weights from a hub: the right ones and the same ones again, or an error that says what to do."""

import hashlib
import json
import threading
from pathlib import Path

import pytest
from hub_server import serve_hub, timm_repository
from narrow import make_narrow

from edgekit.converters.weights.load import load_weights
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.hub.fetch import check_request, fetch_from_hub
from edgekit.networks.efficientnet.hub.record import read_record, record_path
from edgekit.networks.efficientnet.hub.reference import find_reference
from edgekit.networks.efficientnet.spec import SPECS

TAG = "efficientnet_b0.ra_in1k"
NAME = f"timm/{TAG}"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    make_narrow(["b0", "b1"], monkeypatch, 32)
    with serve_hub(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def files(hub):
    return timm_repository(graph(7), "efficientnet_b0")


def graph(seed):
    return build_graph(SPECS["b0"], classes=5, seed=seed)


def other(files, seed=8):
    """The files of a later commit: other weights."""
    return {**files, **timm_repository(graph(seed), "efficientnet_b0")}


def fetched(text=f"hf://{NAME}", spec="b0", **options):
    """Fetches; returns what was found and what was said."""
    said = []
    reference = find_reference(text, SPECS["b0"])
    found = fetch_from_hub(reference, SPECS[spec], note=said.append, **options)
    return found, " ".join(said)


def refused(*args, **options):
    with pytest.raises(EdgekitError) as caught:
        fetched(*args, **options)
    assert caught.value.cause
    return str(caught.value)


@pytest.mark.parametrize("text", [f"hf://{NAME}", f"hf-hub:{NAME}", TAG])
def test_the_weights_come_with_their_configuration_and_are_recorded(hub, files, text):
    commit = hub.publish(NAME, files)
    found, said = fetched(text)
    assert found.path.read_bytes() == files["model.safetensors"]
    assert found.path.with_name("config.json").read_bytes() == files["config.json"]
    assert found.url == f"{hub.url}/{NAME}/resolve/{commit}/model.safetensors"
    sha256 = hashlib.sha256(files["model.safetensors"]).hexdigest()
    for part in (commit, "licence: apache-2.0", sha256, "as the hub lists it"):
        assert part in said
    record = read_record(find_reference(text))
    assert (record.commit, record.licence) == (commit, "apache-2.0")
    assert record.sha256["model.safetensors"] == sha256
    assert "README.md" not in " ".join(hub.asked("GET"))


@pytest.mark.parametrize(
    ("card", "config", "said"),
    [
        ("mit", {"license": "apache-2.0"}, "its licence: mit"),
        (None, {"license": "apache-2.0"}, "its licence: apache-2.0"),
        (None, {"license": 3}, "neither its card nor its config.json names one"),
    ],
)
def test_the_licence_is_the_cards_or_the_configurations(hub, card, config, said):
    repository = timm_repository(graph(7), "efficientnet_b0", **config)
    hub.publish(NAME, repository, licence=card)
    assert said in fetched()[1]


def test_what_was_fetched_gives_the_same_network_as_a_local_file(hub, files, tmp_path):
    hub.publish(NAME, files)
    folder = tmp_path / "local"
    folder.mkdir()
    for name, body in files.items():
        (folder / name).write_bytes(body)
    ours, theirs = (
        load_weights(path, SPECS["b0"])
        for path in (fetched()[0].path, folder / "model.safetensors")
    )
    assert ours.source == theirs.source == "timm"
    assert ours.assumptions == ()
    assert ours.graph.nodes == theirs.graph.nodes
    assert ours.graph.origin == theirs.graph.origin
    for name, array in graph(7).weights.items():
        assert (ours.graph.weights[name] == array).all()
        assert (theirs.graph.weights[name] == array).all()


def test_a_second_time_nothing_is_asked(hub, files):
    hub.publish(NAME, files)
    found, _ = fetched()
    count = len(hub.requests)
    assert fetched() == (found, "")
    assert len(hub.requests) == count


def test_the_commit_of_the_first_time_is_kept(hub, files, tmp_path):
    first = hub.publish(NAME, files)
    found, _ = fetched()
    second = hub.publish(NAME, other(files))
    assert fetched()[0] == found
    for path in (tmp_path / "cache").rglob("model.safetensors"):
        path.resolve().unlink()
        path.unlink()
    again, _ = fetched()  # the record stays
    assert first in again.url
    assert again.path.read_bytes() == files["model.safetensors"]
    newer, _ = fetched(f"hf://{NAME}@{second}")
    assert newer.path.read_bytes() != files["model.safetensors"]


@pytest.mark.parametrize("by", ["commit", "tag"])
def test_a_revision_is_the_one_that_was_asked_for(hub, files, by):
    old = hub.publish(NAME, files, branch="v1")
    hub.publish(NAME, other(files))
    found, _ = fetched(f"hf://{NAME}@{old if by == 'commit' else 'v1'}")
    assert found.path.read_bytes() == files["model.safetensors"]
    assert old in found.url


def test_a_server_with_another_commit_is_refused(hub, files, monkeypatch):
    commit = hub.publish(NAME, files)
    hub.repos[NAME].revisions["0" * 40] = commit
    assert f"{commit}, not {'0' * 40}" in refused(f"hf://{NAME}@{'0' * 40}")


def test_other_bytes_than_the_hub_lists_are_deleted(hub, files, tmp_path):
    hub.publish(NAME, files)
    hub.broken = True
    text = refused()
    assert "not the right model.safetensors" in text
    assert "by the hub's own list" in text
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    hub.broken = False
    fetched()


def test_where_the_hub_lists_no_hash_the_first_is_trusted_and_others_are_not(hub, files, tmp_path):
    hub.publish(NAME, files, lists_hashes=False)
    found, said = fetched()
    assert "trusted on first use" in said
    found.path.resolve().unlink()
    hub.broken = True
    assert "by the record of its first use" in refused()


def test_a_file_that_changes_in_the_cache_is_fetched_again(hub, files):
    hub.publish(NAME, files)
    found, _ = fetched()
    found.path.resolve().write_bytes(b"other")
    again, said = fetched()
    assert f"{found.path} is damaged" in said
    assert again.path.read_bytes() == files["model.safetensors"]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub, files, monkeypatch):
    from huggingface_hub import constants

    # What the library takes up again is whole pieces, of 10 MB: more than these weights have.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.publish(NAME, files)
    hub.cut = [10_000]
    found, _ = fetched()
    assert found.path.read_bytes() == files["model.safetensors"]
    ranges = [h.get("range") for _, path, h in hub.requests if path.startswith("/cdn/")]
    assert ranges == [None, "bytes=10000-"]


def test_progress_is_reported(hub, files):
    hub.publish(NAME, files)
    seen = []
    fetched(progress=lambda *args: seen.append(args))
    assert seen
    assert all(done <= max(total, 1) for _, done, total, _ in seen)


def test_offline_takes_what_was_fetched(hub, files, monkeypatch):
    hub.publish(NAME, files)
    found, _ = fetched()
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    count = len(hub.requests)
    assert fetched() == (found, "")
    assert len(hub.requests) == count


def test_offline_takes_what_another_program_has_received(hub, files, monkeypatch, tmp_path):
    from huggingface_hub import hf_hub_download

    commit = hub.publish(NAME, files)
    for name in ("config.json", "model.safetensors"):
        cache = tmp_path / "cache" / "weights" / "hub"
        hf_hub_download(NAME, name, cache_dir=cache, endpoint=hub.url)
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    count = len(hub.requests)
    found, said = fetched()
    assert commit in found.url
    assert "what another program has received" in said
    assert fetched() == (found, "")
    assert len(hub.requests) == count


def test_offline_without_it_says_what_to_do(hub, files, monkeypatch):
    hub.publish(NAME, files)
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    text = refused()
    for part in (f"edgekit weights fetch hf://{NAME}", "EDGEKIT_MIRROR", "not in the cache"):
        assert part in text
    assert hub.requests == []


def test_offline_a_damaged_file_stays_where_it_is(hub, files, monkeypatch):
    hub.publish(NAME, files)
    found, _ = fetched()
    found.path.resolve().write_bytes(b"other")
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    assert "not in the cache" in refused()
    assert found.path.read_bytes() == b"other"


def test_a_repository_that_is_not_there(hub):
    text = refused()
    assert f"no repository {NAME} on 127.0.0.1" in text
    assert "HF_TOKEN" in text


def test_a_revision_that_is_not_there(hub, files):
    hub.publish(NAME, files)
    assert "has no revision v9" in refused(f"hf://{NAME}@v9")


def test_a_gated_repository_wants_its_terms_accepted(hub, files, monkeypatch):
    hub.publish(NAME, files, gated=True)
    text = refused()
    for part in ("terms to be accepted", f"/{NAME}", "HF_TOKEN"):
        assert part in text
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetched()
    sent = {path.split("/")[1]: h.get("authorization") for _, path, h in hub.requests}
    assert sent["timm"] == "Bearer hf_secret"
    assert sent["cdn"] is None  # on another host


def test_a_repository_without_safetensors_is_refused(hub, files):
    hub.publish(NAME, {"pytorch_model.bin": b"pickle", "config.json": files["config.json"]})
    text = refused()
    assert "has no model.safetensors" in text
    assert "pytorch_model.bin" in text
    assert "run code" in text
    assert "cdn" not in " ".join(hub.asked())


def test_a_repository_of_another_architecture_is_refused_before_its_weights_come(hub, files):
    hub.publish("me/net", timm_repository(graph(7), "efficientnet_b0"))
    text = refused("hf://me/net", "b1")
    assert "hf://me/net are not of b1" in text
    assert "efficientnet_b0, which is b0" in text
    assert "cdn" not in " ".join(hub.asked())
    fetched("hf://me/net")
    assert "are not of b1" in refused("hf://me/net", "b1")  # from the cache as well


def test_without_a_configuration_the_weights_are_read_as_a_file_is(hub, files):
    del files["config.json"]
    hub.publish("me/net", files)
    found, _ = fetched("hf://me/net")
    assert not found.path.with_name("config.json").exists()
    assert load_weights(found.path, SPECS["b0"], source="timm").assumptions


@pytest.mark.parametrize("config", [b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_configuration_that_is_none_is_refused(hub, files, config):
    hub.publish("me/net", {**files, "config.json": config})
    assert "config.json of hf://me/net cannot be used" in refused("hf://me/net")


def test_weights_that_are_far_too_large_are_not_fetched(hub, files):
    hub.publish(NAME, {**files, "model.safetensors": bytes(20_000_000)})
    assert "no such network needs" in refused()
    assert "cdn" not in " ".join(hub.asked())


def test_a_full_disk_is_noticed_before_the_download(hub, files, monkeypatch):
    hub.publish(NAME, files)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    assert "too full" in refused()
    assert "EDGEKIT_CACHE" in refused()


def test_a_server_that_is_not_there_says_what_to_do(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    text = refused()
    assert f"cannot receive {NAME} from 127.0.0.1" in text
    assert "EDGEKIT_OFFLINE=1" in text


def test_a_given_mirror_goes_before_the_variables_and_gets_no_token(hub, files, monkeypatch):
    hub.publish(NAME, files)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("EDGEKIT_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetched(mirror=f"{hub.url}/")
    assert not [h for *_, h in hub.requests if "authorization" in h]


def test_the_variable_of_ours_counts_where_the_hubs_is_not_set(hub, files, monkeypatch):
    hub.publish(NAME, files)
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setenv("EDGEKIT_MIRROR", hub.url)
    fetched()


def test_plain_http_needs_a_known_hash(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.invalid")
    assert "not fetched over plain http" in refused()


def write(folder, files, name=NAME):
    (folder / name).mkdir(parents=True)
    for file, body in files.items():
        (folder / name / file).write_bytes(body)
    return folder


@pytest.mark.parametrize("form", [str, Path.as_uri])
def test_a_folder_is_a_mirror_and_is_held_to_its_first_use(hub, files, tmp_path, form):
    folder = write(tmp_path / "mirror", files)
    found, said = fetched(mirror=form(folder))
    assert found.path == folder / NAME / "model.safetensors"
    assert found.url == found.path.as_uri()
    assert "trusted on first use" in said
    assert fetched(mirror=form(folder)) == (found, "")
    found.path.write_bytes(other(files)["model.safetensors"])
    assert "is not the right file" in refused(mirror=form(folder))
    assert hub.requests == []


def test_a_folder_is_held_to_what_the_hub_gave(hub, files, tmp_path):
    hub.publish(NAME, files)
    fetched()
    folder = write(tmp_path / "mirror", other(files))
    assert "is not the right file" in refused(mirror=str(folder))


def test_a_folder_without_it_or_no_folder_is_a_usage_error(hub, tmp_path):
    assert "there is no" in refused(mirror=str(tmp_path))
    for mirror in ("no/such/folder", "ftp://x.invalid", "http://["):
        with pytest.raises(UsageError, match="neither an address nor a folder"):
            fetched(mirror=mirror)


def test_a_damaged_record_says_nothing(hub, files):
    hub.publish(NAME, files)
    path = record_path(find_reference(TAG))
    path.parent.mkdir(parents=True)
    for text in ("", "[]", '{"sha256": 3}', '{"sha256": {"model.safetensors": "x"}}'):
        path.write_text(text)
        fetched()
        assert json.loads(path.read_text())["commit"]


def test_threads_at_once_download_once(hub, files):
    hub.publish(NAME, files)
    results = []
    threads = [threading.Thread(target=lambda: results.append(fetched()[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len([path for path in hub.asked() if path.startswith("/cdn/")]) == 1


def test_the_best_says_why_it_was_taken(hub, files):
    hub.publish("timm/tf_efficientnet_b0.ns_jft_in1k", files)
    assert "yours to judge" in fetched("hub")[1]


def test_what_a_request_needs_is_asked_beforehand(hub, tmp_path):
    check_request(find_reference(TAG), SPECS["b0"])
    check_request(find_reference(TAG), SPECS["b0"], str(tmp_path))
    with pytest.raises(UsageError, match="not of b1"):
        check_request(find_reference(TAG), SPECS["b1"])
