"""A run's folder: nothing of anybody else's is touched."""

import errno

import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit.options.build import BuildOptions
from edgekit.pipeline.run_folder import choose_folder, opened, translated


def options(**values):
    return BuildOptions.make("b0", **values)


def started(folder, **values):
    """A folder in which a run has finished its first stage."""
    with opened(folder, options(out=folder, **values)):
        (folder / "stages" / "data-123").mkdir()
        (folder / "stages" / "data-123" / "stage.json").write_text("{}")
    return folder


def test_a_new_folder_is_made(tmp_path):
    assert choose_folder(options(out=tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    started(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "stages").is_dir()


def test_the_same_run_may_go_on_with_other_settings(tmp_path):
    started(tmp_path / "run")
    again = options(out=tmp_path / "run", ranges="minmax", targets=["edgetpu"], epochs=3)
    assert choose_folder(again) == tmp_path / "run"


def test_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        choose_folder(options(out=tmp_path / "f"))


def test_a_foreign_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        choose_folder(options(out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_of_another_model_is_refused_unless_asked_for(tmp_path):
    started(tmp_path / "run")
    other = BuildOptions.make("lite0", out=tmp_path / "run")
    with pytest.raises(UsageError, match="another model") as caught:
        choose_folder(other)
    assert "b0 there, lite0 now" in caught.value.cause
    assert choose_folder(BuildOptions.make("lite0", out=tmp_path / "run", overwrite=True))


@pytest.mark.parametrize("killed_before_its_record", [True, False])
def test_a_run_that_has_nothing_to_keep_makes_room(tmp_path, killed_before_its_record):
    out = tmp_path / "run"
    if killed_before_its_record:
        (out / "stages").mkdir(parents=True)
    else:  # for example one that failed over its data
        with opened(out, options(out=out, data="misspelt")):
            pass
    assert choose_folder(options(out=out, data="photos")) == out


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "run"
    with pytest.raises(UsageError, match="cannot write to"), opened(out, options(out=out)):
        pass


def test_another_name_of_the_same_model_is_the_same_run(tmp_path):
    started(tmp_path / "run")
    same = BuildOptions.make("EfficientNet-B0", out=tmp_path / "run")
    assert choose_folder(same) == tmp_path / "run"


def test_weights_of_a_hub_by_another_name_are_the_same_run(tmp_path):
    tag = "efficientnet_b0.ra_in1k"
    started(tmp_path / "run", weights=tag)
    for weights in (f"hf://timm/{tag}", f"hf-hub:timm/{tag}"):
        same = options(out=tmp_path / "run", weights=weights)
        assert choose_folder(same) == tmp_path / "run"
    with pytest.raises(UsageError):
        choose_folder(options(out=tmp_path / "run", weights=f"{tag}@v2"))


def test_default_folders_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = choose_folder(options())
    assert first.parent.name == "runs"
    assert first.name.startswith("b0-20")
    started(first)
    assert choose_folder(options()) == first
    data = tmp_path / "photos"
    second = choose_folder(options(data=data))
    assert second.name == first.name + "-2"


def test_two_builds_do_not_share_a_folder(tmp_path):
    with (
        opened(tmp_path / "run", options()),
        pytest.raises(UsageError, match="another build is running"),
        opened(tmp_path / "run", options()),
    ):
        pass
    with opened(tmp_path / "run", options()):
        pass


@pytest.mark.parametrize(
    ("number", "kind", "text", "code"),
    [
        (errno.ENOSPC, EdgekitError, "is full", 1),
        (errno.EROFS, UsageError, "cannot write", 2),
        (errno.EACCES, UsageError, "cannot write", 2),
        (errno.EIO, EdgekitError, "cannot read or write", 1),
    ],
)
def test_the_systems_failures_are_explained(tmp_path, number, kind, text, code):
    with pytest.raises(kind, match=text) as caught, translated(tmp_path):
        raise OSError(number, "reason", "file")
    assert caught.value.exit_code == code
