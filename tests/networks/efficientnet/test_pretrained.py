"""The registry of ImageNet weights, and the cache that never hands out a wrong file."""

import dataclasses
import hashlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nasty_server import NastyServer, serve, status
from prerequisites import skip_without

from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.efficientnet import pretrained
from edgekit.networks.efficientnet.pretrained import Pretrained, cached, fetch, find, registry
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.system.download import Patience

BODY = b"weights " * 1000
OTHER = b"another " * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()  # noqa: S324
PREFIX = f"sha256:{SHA256[:8]}"


@pytest.fixture
def server():
    server = NastyServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache, and none of the user's settings."""
    for name in ("EDGEKIT_OFFLINE", "EDGEKIT_MIRROR", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def register(monkeypatch, server):
    """Puts a file of ours into the registry as the weights of b0, at the server's /w.bin."""

    def register(digest, *behaviours, url=None, **changes):
        url = url or server.on("/w.bin", *(behaviours or [serve(BODY)]))
        row = Pretrained(
            "b0", url, "w.bin", None, digest, "keras", "Apache-2.0", 1000, "a note", "a page"
        )
        row = dataclasses.replace(row, **changes)
        monkeypatch.setattr(pretrained, "_registry", lambda: {"b0": row})
        return row

    return register


def fetched(**options):
    """Fetches b0 at once; returns the path and what was said."""
    said = []
    patience = Patience(timeout=5.0, attempts=2, pause=lambda seconds: None)
    return fetch("b0", note=said.append, patience=patience, **options), " ".join(said)


def refused(**options):
    with pytest.raises(EdgekitError) as caught:
        fetched(**options)
    return str(caught.value)


def test_every_variant_has_weights_and_every_weight_a_variant():
    rows = json.loads(pretrained.REGISTRY.read_text(encoding="utf-8"))["weights"]
    assert sorted(row["model"] for row in rows) == sorted(SPECS)
    assert [row.model for row in registry()] == list(SPECS)


@pytest.mark.parametrize("row", registry(), ids=lambda row: row.model)
def test_rows_are_complete_and_consistent(row):
    url = urlsplit(row.url)
    assert url.scheme == "https"
    assert url.hostname in ("storage.googleapis.com", "github.com")
    assert row.file == url.path.rsplit("/", 1)[1]
    assert row.page.startswith("https://")
    assert row.licence == "Apache-2.0"
    assert row.classes == 1000
    assert row.note
    assert re.fullmatch(r"sha256:([0-9a-f]{8}|[0-9a-f]{64})|md5:[0-9a-f]{32}", row.hash)
    if row.source == "keras":
        assert row.file.endswith(".h5")
        assert row.pinned
    else:
        assert row.source == "timm-tf"
        assert row.file.endswith(f"-{row.checksum.digest}.pth")  # the convention of torch hub
    if row.size is not None:  # tensors, names, and little more
        assert row.tensor_bytes < row.size < 1.02 * row.tensor_bytes


def test_file_names_and_hashes_are_all_different():
    rows = registry()
    assert len({row.file for row in rows}) == len({row.hash for row in rows}) == len(rows)


def test_keras_rows_say_what_the_installed_keras_says():
    """Read, not imported: importing Keras takes seconds."""
    from importlib.util import find_spec as find_module

    origin = getattr(find_module("keras"), "origin", None)
    if origin is None:
        skip_without("keras")
    folder = Path(origin).parent / "src" / "applications"
    texts = {
        name: (folder / f"{name}.py").read_text() for name in ("efficientnet", "efficientnet_v2")
    }
    checked = 0
    for row in registry():
        if row.source != "keras":
            continue
        text = texts["efficientnet_v2" if row.model.startswith("v2-") else "efficientnet"]
        base = re.search(r'BASE_WEIGHTS_PATH = "(.+?)"', text)[1]
        key = row.model.removeprefix("v2-")
        key = f"-{key}" if key in ("s", "m", "l") else key
        assert f'name="{row.file.removesuffix(".h5")}"' in text
        assert row.url == base + row.file
        assert re.search(rf'"{key}": \(\s*"{row.checksum.digest}"', text)
        checked += 1
    assert checked == 15


@pytest.mark.parametrize("name", ["b0", "EfficientNet-B0", "efficientnet_b0"])
def test_weights_are_found_by_the_names_of_the_variants(name):
    assert find(name).file == "efficientnetb0.h5"


def test_an_unknown_variant_is_a_usage_error(register):
    with pytest.raises(UsageError):
        find("resnet50")
    register(None)
    with pytest.raises(UsageError, match="no ImageNet weights are known for b1"):
        find("b1")


def test_sizes_that_are_not_published_are_called_estimates():
    assert find("lite0").readable_size == "18.8 MB"
    assert find("b0").readable_size == "about 21.3 MB (estimated)"  # 5,330,564 floats


def test_the_cache_is_in_the_users_cache_folder_or_where_the_variable_says(folder, monkeypatch):
    assert pretrained.cache_folder() == folder
    monkeypatch.setenv("EDGEKIT_CACHE", "")
    import platformdirs

    assert pretrained.cache_folder().parent == platformdirs.user_cache_path("edgekit", False)


def test_a_file_is_downloaded_once(register, server, folder):
    register(f"md5:{MD5}")
    assert cached("b0") is None
    path, said = fetched()
    assert path == folder / "w.bin" == cached("b0")
    assert path.read_bytes() == BODY
    assert "about 21.3 MB (estimated), Apache-2.0, from http://127.0.0.1" in said
    assert "trusted" not in said
    assert fetched() == (path, "")
    assert len(server.requests) == 1


def test_a_damaged_file_is_reported_and_fetched_again(register, server, folder):
    register(f"md5:{MD5}")
    path, _ = fetched()
    path.write_bytes(BODY[:-1])
    path, said = fetched()
    assert f"{path} is damaged" in said
    assert path.read_bytes() == BODY
    assert len(server.requests) == 2


@pytest.mark.parametrize("digest", [PREFIX, None])
def test_the_first_file_is_trusted_and_another_refused(register, server, folder, digest):
    register(digest, serve(BODY), serve(OTHER))
    path, said = fetched()
    assert "is trusted on first use" in said
    assert SHA256 in said
    assert json.loads((folder / "w.bin.json").read_text())["sha256"] == SHA256
    assert fetched() == (path, "")
    path.unlink()  # the record stays
    text = refused()
    assert "not the right w.bin" in text
    assert str(folder / "w.bin.json") in text
    assert not path.exists()
    server.on("/w.bin", serve(BODY))
    assert "trusted" not in fetched()[1]


def test_a_file_against_the_published_digits_is_never_trusted(register, folder):
    register(PREFIX, serve(OTHER))
    assert "by its publisher" in refused()
    assert not list(folder.glob("w.bin*.json"))


def test_a_trusted_file_that_changes_in_the_cache_is_fetched_again(register, folder):
    register(None)
    path, _ = fetched()
    path.write_bytes(OTHER)
    path, said = fetched()
    assert "damaged" in said
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(
    "record", ["", "[]", '{"sha256": 3}', '{"sha256": "abc"}', json.dumps({"sha256": "0" * 64})]
)
def test_a_record_that_says_nothing_of_this_file_is_ignored(register, folder, record):
    folder.mkdir(parents=True)
    (folder / "w.bin.json").write_text(record)
    register(PREFIX)
    assert "trusted on first use" in fetched()[1]
    assert json.loads((folder / "w.bin.json").read_text())["sha256"] == SHA256


def test_a_file_put_there_by_hand_is_taken(register, server, folder):
    folder.mkdir(parents=True)
    (folder / "w.bin").write_bytes(BODY)
    register(PREFIX)
    path, said = fetched()
    assert "trusted on first use" in said
    assert server.requests == []
    assert fetched() == (path, "")


def test_a_cache_that_cannot_be_written_to_can_be_read(register, folder, monkeypatch):
    register(f"md5:{MD5}")
    path, _ = fetched()

    def no(*args, **options):
        raise AssertionError("asked for the lock")

    monkeypatch.setattr(pretrained, "locked", no)
    assert fetched() == (path, "")


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_offline_says_what_to_do(register, server, folder, monkeypatch, value):
    row = register(f"md5:{MD5}")
    monkeypatch.setenv("EDGEKIT_OFFLINE", value)
    text = refused()
    for part in (row.url, str(folder / "w.bin"), "--weights FILE", "--weights none"):
        assert part in text
    assert server.requests == []


def test_offline_uses_the_cache_and_folders(register, server, folder, tmp_path, monkeypatch):
    register(f"md5:{MD5}")
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    (tmp_path / "w.bin").write_bytes(BODY)
    path, _ = fetched(mirror=str(tmp_path))
    assert fetched() == (path, "")
    assert server.requests == []


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_offline_can_be_switched_off(register, monkeypatch, value):
    register(f"md5:{MD5}")
    monkeypatch.setenv("EDGEKIT_OFFLINE", value)
    fetched()


def test_no_network_says_what_to_do(register, folder):
    register(f"md5:{MD5}", url="https://127.0.0.1:9/w.bin")
    text = refused()
    assert "error: cannot reach 127.0.0.1" in text
    assert "refused" in text
    assert f"put it at {folder / 'w.bin'}" in text
    assert "--weights none" in text


def test_what_the_server_refuses_says_what_to_do(register):
    register(f"md5:{MD5}", status(404))
    assert "try:   download http" in refused()


def mirrors(server, tmp_path):
    (tmp_path / "w.bin").write_bytes(BODY)
    server.on("/mirror/w.bin", serve(BODY))
    return [str(tmp_path), tmp_path.as_uri(), f"{tmp_path.as_uri()}/", server.url("/mirror/")]


@pytest.mark.parametrize("index", range(4))
def test_a_mirror_is_a_folder_or_an_address(register, server, tmp_path, monkeypatch, index):
    register(PREFIX, status(500))
    mirror = mirrors(server, tmp_path)[index]
    monkeypatch.setenv("EDGEKIT_MIRROR", mirror)
    path, said = fetched()
    assert path.read_bytes() == BODY
    assert "w.bin" in said
    assert "/w.bin" not in [path for path, _ in server.requests]


def test_a_given_mirror_goes_before_the_variable(register, tmp_path, monkeypatch):
    register(f"md5:{MD5}", status(500))
    monkeypatch.setenv("EDGEKIT_MIRROR", "https://127.0.0.1:9")
    (tmp_path / "w.bin").write_bytes(BODY)
    fetched(mirror=str(tmp_path))


def test_a_mirrors_file_is_checked_like_any_other(register, tmp_path):
    register(f"md5:{MD5}")
    (tmp_path / "w.bin").write_bytes(OTHER)
    assert "not the right w.bin" in refused(mirror=str(tmp_path))


@pytest.mark.parametrize("mirror", ["no/such/folder", "ftp://example.org/w", "http://["])
def test_a_mirror_that_is_none_is_a_usage_error(register, mirror):
    register(f"md5:{MD5}")
    with pytest.raises(UsageError, match="neither an address nor a folder"):
        fetched(mirror=mirror)


@pytest.mark.parametrize(
    ("digest", "recorded", "message"),
    [
        (PREFIX, False, "not fetched over plain http"),
        (None, False, "not fetched over plain http"),
        (f"md5:{MD5}", False, "cannot reach"),
        (PREFIX, True, "cannot reach"),
    ],
)
def test_plain_http_needs_a_whole_hash(register, folder, digest, recorded, message):
    register(digest)
    if recorded:
        fetched()[0].unlink()
    assert message in refused(mirror="http://mirror.invalid")


def test_a_full_disk_is_noticed_before_the_download(register, server, monkeypatch):
    register(f"md5:{MD5}")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**6}))
    text = refused()
    assert "about 21.3 MB (estimated), and 1.0 MB are free" in text
    assert server.requests == []


def test_a_stream_without_end_is_cut_at_the_models_size(register, monkeypatch):
    row = register(None, serve(BODY))
    limits = []
    monkeypatch.setattr(
        pretrained,
        "download",
        lambda *args, **options: limits.append(options["limit_bytes"]) or "0",
    )
    monkeypatch.setattr(pretrained, "_record", lambda *args: None)
    fetched()
    assert 2 * row.tensor_bytes < limits[0] < 3 * row.tensor_bytes


def test_a_folder_that_cannot_be_written_to_is_said(register, folder):
    folder.parent.write_bytes(b"a file where the folder should be")
    register(f"md5:{MD5}")
    text = refused()
    assert "cannot write to the folder" in text
    assert "EDGEKIT_CACHE" in text


def test_threads_at_once_download_once(register, server):
    register(PREFIX)
    results = []
    threads = [threading.Thread(target=lambda: results.append(fetched())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path for path, _ in results}) == 1
    assert len(results) == 4
    assert len(server.requests) == 1


PROCESS = """
import sys
from edgekit.networks.efficientnet import pretrained
url, digest = sys.argv[1:]
row = pretrained.Pretrained("b0", url, "w.bin", None, digest, "keras", "", 1000, "", "")
pretrained._registry = lambda: {"b0": row}
print(pretrained.fetch("b0"))
"""


def test_processes_at_once_download_once(server, folder):
    url = server.on("/w.bin", serve(BODY))
    command = [sys.executable, "-c", PROCESS, url, PREFIX]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    out = [process.communicate(timeout=60)[0].decode().strip() for process in processes]
    assert out == [str(folder / "w.bin")] * 2
    assert len(server.requests) == 1
