"""Stages: keyed by what they read, whole or absent, resumable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgekit.pipeline import stage as module
from edgekit.pipeline.stage import UNHASHED, Stage, StageStore, hashed_as


@dataclass(frozen=True)
class Value:
    number: int
    note: str = field(default="", metadata=UNHASHED)


@dataclass(frozen=True, eq=False, kw_only=True)
class One(Stage):
    label: str = "one"
    reads_: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[Stage, ...] = ()
    value: Value = Value(1)
    tool: str | None = None
    path: str = field(default="a/b", metadata=hashed_as(lambda path: path.split("/")[-1]))
    work: Callable[..., str] = field(default=lambda folder, of: "done", metadata=UNHASHED)

    title = "{0.label}"

    @property
    def tools(self):
        return (self.tool,) if self.tool else ()

    def run(self, folder, progress, of):
        return self.work(folder, of)


def silent(task, done, total, note=""):
    pass


def stage(name="one", needs=(), work=lambda folder, of: "done", **reads):
    return One(label=name, reads_=reads, before=tuple(needs), work=work)


def test_a_key_follows_everything_that_is_read():
    first = stage(seed=0)
    keys = {
        first.key,
        stage(seed=1).key,
        stage("two", seed=0).key,
        stage("two", [first]).key,
        stage("two", [stage(seed=1)]).key,
        One(value=Value(2)).key,
        One(path="a/c").key,
    }
    assert len(keys) == 7
    assert stage(seed=0).key == first.key


def test_what_does_not_decide_is_not_in_the_key():
    same = [
        One(),
        One(work=lambda folder, of: "other"),
        One(value=Value(1, "a note")),
        One(path="c/b"),
    ]
    assert len({one.key for one in same}) == 1
    assert set(same[0].reads) == {"label", "reads_", "before", "value", "tool", "path", "record"}


def test_the_versions_of_its_tools_and_its_record_are_in_the_key(monkeypatch):
    def key(version, record=1):
        with monkeypatch.context() as patch:
            patch.setattr(module, "installed", lambda tool: version)
            patch.setattr(One, "record", record)
            return One(tool="torch").key

    assert len({key("1"), key("2"), key("1", record=2)}) == 3
    assert key("1") == key("1")


def test_an_input_that_is_no_value_of_json_must_be_declared():
    with pytest.raises(TypeError, match="declare what of it decides"):
        _ = stage(seed=object()).key


def test_a_stage_asks_for_the_folders_of_its_inputs(tmp_path):
    store, first = StageStore(tmp_path), stage()
    second = stage("two", [first], work=lambda folder, of: str(of(first)))
    assert store.run(second, silent).detail == str(store.folder(first))


def test_a_finished_stage_is_found_again(tmp_path):
    def work(folder, of):
        (folder / "result").write_text("42")
        return "a detail"

    store, one = StageStore(tmp_path), stage(work=work, seed=3)
    assert store.finished(one) is None
    done = store.run(one, silent)
    assert (done.cached, done.detail) == (False, "a detail")
    again = StageStore(tmp_path).finished(one)
    assert (again.cached, again.detail, again.seconds) == (True, "a detail", done.seconds)
    assert (again.folder / "result").read_text() == "42"
    assert store.finished(stage(work=work, seed=4)) is None


def test_an_interrupted_stage_leaves_its_work_for_the_next_attempt(tmp_path):
    def work(folder, of):
        checkpoint = folder / "checkpoint"
        if not checkpoint.exists():
            checkpoint.write_text("half")
            raise KeyboardInterrupt
        return checkpoint.read_text()

    store, one = StageStore(tmp_path), stage(work=work)
    with pytest.raises(KeyboardInterrupt):
        store.run(one, silent)
    assert store.finished(one) is None
    assert not store.folder(one).exists()
    assert store.partial(one).exists()
    assert store.run(one, silent).detail == "half"
    assert store.finished(one) is not None


def test_a_damaged_record_is_no_result(tmp_path):
    store, one = StageStore(tmp_path), stage()
    store.run(one, silent)
    (store.folder(one) / "stage.json").write_text("{")
    assert store.finished(one) is None
    assert store.run(one, silent).detail == "done"
    assert store.finished(one) is not None


def test_a_fresh_start_throws_an_interrupted_attempt_away(tmp_path):
    def work(folder, of):
        found = sorted(path.name for path in folder.iterdir())
        (folder / "left").write_text("")
        return str(found)

    store, one = StageStore(tmp_path), stage(work=work)
    store.partial(one).mkdir()
    (store.partial(one) / "left").write_text("")
    assert store.run(one, silent, fresh=True).detail == "[]"
