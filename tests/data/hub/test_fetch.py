"""Data sets of a hub: received once, at one commit, and read as folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_server import serve_hub
from photo_tables import features, parquet, photo, rows
from prerequisites import needs

from edgekit.cli import run
from edgekit.data.hub.fetch import MARK, local_source
from edgekit.data.sources import list_to_measure
from edgekit.data.splits import fingerprint, load_splits
from edgekit.data.unlabelled import fingerprint_unlabelled
from edgekit.errors import EdgekitError, UsageError

NAME = "hf://datasets/org/flowers"
FOLDER_NAMES = ["daisy", "rose _ wild", "tulip"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve_hub(tmp_path, monkeypatch) as server:
        yield server


def publish(hub, files, **options):
    return hub.publish("datasets/org/flowers", files, **options)


def splits(train=30, val=9):
    said = features()
    shards = {
        "data/train-00000-of-00002.parquet": parquet(rows(train), said=said),
        "data/train-00001-of-00002.parquet": parquet(rows(6, 1000), said=said),
        "data/validation-00000-of-00001.parquet": parquet(rows(val, 2000), said=said),
    }
    return shards | {"README.md": b"---\nlicense: cc0-1.0\n---\n"}


@needs("pyarrow")
def test_shards_of_parquet_are_the_photos_and_classes_that_they_hold(hub):
    commit = publish(hub, splits(), licence="cc0-1.0")
    found = load_splits(NAME, None, None, calibration_count=12)
    assert (len(found.train), len(found.val)) == (36, 9)
    assert list(found.labels) == FOLDER_NAMES
    assert found.source == f"--data {NAME}@{commit}, --val {NAME}@{commit}"
    assert f"--data {NAME} is at commit {commit}; its licence is cc0-1.0" in found.warnings
    wanted = {photo(k) for k in (*range(30), *range(1000, 1006))}
    assert {place.read_bytes() for place in found.train.places} == wanted
    by_label = {found.train.places[k].read_bytes(): found.train.labels[k] for k in range(36)}
    assert [by_label[photo(k)] for k in range(6)] == [0, 1, 2, 0, 1, 2]
    mark = json.loads((Path(local_source(NAME, "--data")).parent / MARK).read_text())
    assert (mark["commit"], mark["photos"], mark["licence"]) == (commit, 45, "cc0-1.0")
    assert len(mark["sha256"]) == 3


@needs("pyarrow")
def test_it_is_received_once_and_stays_at_its_first_commit(hub, monkeypatch):
    publish(hub, splits())
    first = fingerprint(NAME, None, None)
    before = len(hub.requests)
    publish(hub, splits(12))
    assert fingerprint(NAME, None, None) == first
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    assert len(load_splits(NAME, None, None).train) == 36
    assert len(hub.requests) == before


@needs("pyarrow")
def test_another_revision_is_another_data_set(hub):
    publish(hub, splits())
    commit = publish(hub, splits(12), branch="v2")
    assert len(load_splits(f"{NAME}@v2", None, None).train) == 18
    assert len(load_splits(f"{NAME}@{commit}", None, None).train) == 18
    assert len(load_splits(NAME, None, None).train) == 36


@needs("pyarrow")
def test_a_split_and_a_column_of_classes_can_be_named(hub):
    import pyarrow as pa

    said = {"image": {"_type": "Image"}} | {
        key: {"names": list("abc"), "_type": "ClassLabel"} for key in ("fine", "coarse")
    }
    extra = {"coarse": pa.array([0, 0, 0, 1, 1, 2])}
    body = parquet(rows(6), label="fine", said=said, extra=extra)
    publish(hub, {"data/train.parquet": body, "data/test.parquet": body})
    with pytest.raises(UsageError, match="several columns of classes: fine, coarse") as caught:
        local_source(NAME, "--data")
    assert "#label=fine" in caught.value.hint
    folder = Path(local_source(f"{NAME}#split=test,label=coarse", "--data"))
    assert folder.name == "test"
    counts = {path.name: len(list(path.iterdir())) for path in folder.iterdir()}
    assert counts == {"a": 3, "b": 2, "c": 1}


@needs("pyarrow")
def test_the_hubs_own_parquet_has_configurations_as_folders(hub):
    body = parquet(rows(6), said=features())
    files = {"small/train/0000.parquet": body, "large/train/0000.parquet": body}
    publish(hub, {"flowers.py": b"raise SystemExit"}, branch="main")
    publish(hub, files, branch="refs/convert/parquet")
    with pytest.raises(UsageError, match="holds nothing that is read") as caught:
        local_source(NAME, "--data")
    assert "@refs/convert/parquet" in caught.value.hint
    with pytest.raises(UsageError, match="has several configurations") as caught:
        local_source(f"{NAME}@refs/convert/parquet", "--data")
    assert "large, small" in caught.value.cause
    found = Path(local_source(f"{NAME}@refs/convert/parquet#config=small", "--data"))
    assert len([path for path in found.rglob("*") if path.is_file()]) == 6


@needs("pyarrow")
def test_a_card_says_the_files_of_splits_and_the_names_of_classes(hub):
    card = """---
configs:
- config_name: big
  data_files: big/*.parquet
- config_name: default
  data_files:
  - split: train
    path: one/*.parquet
  - split: test
    path: ["two/**"]
dataset_info:
- config_name: default
  features:
  - name: picture
    dtype: image
  - name: kind
    dtype:
      class_label:
        names: {'0': ant, '1': bee, '2': wasp}
- config_name: big
  features:
  - name: kind
    dtype:
      class_label:
        names: {'0': x, '1': y, '2': z}
---
"""
    body = parquet(rows(6), label="kind", image="picture")
    files = {"one/a.parquet": body, "two/b/c.parquet": body, "big/d.parquet": body}
    publish(hub, files | {"README.md": card.encode()})
    folder = Path(local_source(NAME, "--data"))
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train"]
    assert sorted(path.name for path in (folder / "train").iterdir()) == ["ant", "bee", "wasp"]
    with pytest.raises(UsageError, match="has no configuration little"):
        local_source(f"{NAME}#config=little", "--data")
    with pytest.raises(UsageError, match="has no such split"):
        local_source(f"{NAME}#split=tset", "--data")


@needs("pyarrow")
def test_rows_without_photo_or_class_are_left_out(hub):
    table = [(photo(0), 0), (None, 1), (photo(1), -1), (photo(2), 2), (photo(3), 7)]
    publish(hub, {"train.parquet": parquet(table, said=features())})
    folder = Path(local_source(NAME, "--data"))
    assert json.loads((folder.parent / MARK).read_text())["photos"] == 2


@needs("pyarrow")
def test_without_a_column_of_classes_the_columns_are_listed(hub):
    publish(hub, {"train.parquet": parquet(rows(3), label="caption")})
    with pytest.raises(UsageError, match="has no column of classes") as caught:
        local_source(NAME, "--data")
    assert "caption (int64)" in caught.value.cause
    assert "image (struct<" in caught.value.cause
    found = Path(local_source(f"{NAME}#label=caption", "--data"))
    assert sorted(path.name for path in (found / "train").iterdir()) == ["0", "1", "2"]
    with pytest.raises(UsageError, match="has no column labe"):
        local_source(f"{NAME}#label=labe", "--data")


@needs("pyarrow")
def test_damaged_parquet_is_said(hub):
    publish(hub, {"train.parquet": b"PAR1 and then nothing"})
    with pytest.raises(UsageError, match="cannot be read"):
        local_source(NAME, "--data")


def folders(metadata=None):
    files = {
        f"{split}/{label}/{k}.png": photo(100 * len(split) + 10 * index + k)
        for split, count in (("train", 8), ("validation", 3))
        for index, label in enumerate(("ant", "bee"))
        for k in range(count)
    }
    return files | (metadata or {})


def test_an_image_folder_is_read_by_its_folders(hub):
    publish(hub, folders())
    found = load_splits(NAME, None, None, calibration_count=10)
    assert (len(found.train), len(found.val), found.labels) == (16, 6, ("ant", "bee"))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_image_folder_is_read_by_its_lists(hub, kind):
    names = [f"{k}.png" for k in range(6)]
    table = [(name, "cat" if k % 2 else "dog") for k, name in enumerate(names)]
    text = {
        "csv": "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in table[:-1]),
        "jsonl": "".join(json.dumps({"file_name": n, "label": c}) + "\n" for n, c in table[:-1]),
    }[kind]
    files = {f"train/{name}": photo(k) for k, name in enumerate(names)}
    publish(hub, files | {f"train/metadata.{kind}": text.encode()})
    folder = Path(local_source(NAME, "--data"))
    found = {path.parent.name: path.read_bytes() for path in sorted(folder.rglob("*.png"))}
    assert set(found) == {"cat", "dog"}
    assert len(list(folder.rglob("*.png"))) == 5  # the list says nothing of the last


def test_photos_without_classes_are_refused_with_the_columns_that_there_are(hub):
    listed = b"file_name,caption\n0.png,a flower\n"
    publish(hub, {"train/0.png": photo(0), "train/metadata.csv": listed})
    with pytest.raises(UsageError, match="has no column of classes") as caught:
        local_source(NAME, "--data")
    assert caught.value.cause == "its columns are file_name, caption"
    publish(hub, {"0.png": photo(0)}, branch="v2")
    with pytest.raises(UsageError, match="has no column of classes") as caught:
        local_source(f"{NAME}@v2", "--data")
    assert "no class folders" in caught.value.cause


def test_a_folder_is_a_mirror(hub, tmp_path, monkeypatch):
    for name, body in folders().items():
        path = tmp_path / "mirror/datasets/org/flowers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setenv("EDGEKIT_MIRROR", str(tmp_path / "mirror"))
    assert len(list_to_measure(f"{NAME}#split=validation").files) == 6
    assert len(list_to_measure(NAME).files) == 6  # of splits, the validation part
    with pytest.raises(UsageError, match="does not hold"):
        local_source("hf://datasets/org/other", "--data")


def test_photos_without_labels_may_be_of_a_hub_too(hub):
    publish(hub, folders())
    assert fingerprint_unlabelled(NAME) == fingerprint_unlabelled(NAME)


def test_what_was_changed_on_the_way_is_not_used(hub):
    publish(hub, folders())
    hub.broken = True
    with pytest.raises(EdgekitError, match="is not the right"):
        local_source(NAME, "--data")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"EDGEKIT_OFFLINE": "1"}, "is not in the cache"),
        ({"HF_ENDPOINT": "http://hub.example"}, "is not fetched over plain http"),
        ({}, "no repository org/flowers"),
    ],
)
def test_what_cannot_be_received_is_said(hub, monkeypatch, change, says):
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EdgekitError, match=says):
        local_source(NAME, "--data")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hf://org/flowers", "does not name a data set on a hub"),
        ("hf://datasets/flowers", "does not name a data set on a hub"),
        (f"{NAME}#splt=train", "has 'splt=train' behind its name"),
        (f"{NAME}#train", "has 'train' behind its name"),
    ],
)
def test_what_names_no_data_set_is_refused(text, says):
    with pytest.raises(UsageError, match=says):
        local_source(text, "--data")


def test_anything_else_is_left_as_it_is():
    assert local_source("here", "--data") == "here"


def test_classes_that_one_folder_would_hold_are_refused(hub):
    table = json.dumps({"file_name": "0.png", "label": "a/b"}) + "\n"
    table += json.dumps({"file_name": "1.png", "label": "a:b"}) + "\n"
    files = {"0.png": photo(0), "1.png": photo(1), "metadata.jsonl": table.encode()}
    publish(hub, files)
    with pytest.raises(UsageError, match="would be one folder"):
        local_source(NAME, "--data")


@pytest.mark.slow
def test_a_network_is_trained_and_measured_on_a_data_set_of_a_hub(hub, tmp_path, capsys):
    commit = publish(hub, folders(), licence="cc-by-4.0")
    run_folder = tmp_path / "run"
    words = f"build lite0 --width 0.1 --depth 0.1 --resolution 32 --epochs 1 --data {NAME}"
    more = f"--weights none --calibration-count 12 --threads 1 --quiet --out {run_folder}"
    assert run([*words.split(), *more.split()]) == 0
    document = json.loads((run_folder / "report.json").read_text())
    assert document["data"]["source"] == f"--data {NAME}@{commit}, --val {NAME}@{commit}"
    assert document["data"]["n_val"] == 6
    assert f"--data {NAME}" in document["command"]
    asked = len(hub.requests)
    capsys.readouterr()
    assert run(["val", str(run_folder), "--data", f"{NAME}#split=validation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 6
    assert run([*words.split(), *more.split()]) == 0  # of the same data: nothing is done again
    assert len([path for path in hub.asked()[asked:] if "/resolve/" in path]) == 0


@pytest.mark.parametrize("task", ["unet-lite0", "d0"])
def test_masks_and_boxes_of_a_hub_are_refused(hub, task, capsys):
    assert run(["build", task, "--data", NAME, "--weights", "none", "--quiet"]) == 2
    assert "are read for classification alone" in capsys.readouterr().err
