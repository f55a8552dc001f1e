"""Stages: keyed by what they read, whole or absent, resumable."""

import pytest

from edgekit.pipeline.stage import Stage, StageStore


def silent(task, done, total, note=""):
    pass


def stage(name="one", needs=(), work=lambda folder, progress: "done", **reads):
    return Stage(name, reads, tuple(needs), work)


def test_a_key_follows_everything_that_is_read():
    first = stage(seed=0)
    keys = {
        first.key,
        stage(seed=1).key,
        stage("two", seed=0).key,
        stage("two", [first]).key,
        stage("two", [stage(seed=1)]).key,
    }
    assert len(keys) == 5
    assert stage(seed=0).key == first.key


def test_a_finished_stage_is_found_again(tmp_path):
    def work(folder, progress):
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
    def work(folder, progress):
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
    def work(folder, progress):
        found = sorted(path.name for path in folder.iterdir())
        (folder / "left").write_text("")
        return str(found)

    store, one = StageStore(tmp_path), stage(work=work)
    store.partial(one).mkdir()
    (store.partial(one) / "left").write_text("")
    assert store.run(one, silent, fresh=True).detail == "[]"
