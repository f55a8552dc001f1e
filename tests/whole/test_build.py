"""Whole builds, small: the built-in shapes at 32 px, a handful of photos, one epoch or none."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import places
import pytest
from narrow import make_narrow
from PIL import Image
from prerequisites import needs
from report_page import check_page

import edgekit
from edgekit.converters.tflite.file import read
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data import synthetic
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import EdgekitError, MissingToolError, UsageError
from edgekit.networks.efficientnet import pretrained
from edgekit.system.console import Console
from edgekit.system.hashing import hash_file

SIZE = 32
SMALL = {
    "weights": "none",
    "resolution": SIZE,
    "epochs": 1,
    "batch_size": 16,
    "calibration_count": 16,
    "threads": 1,
}
ROWS = ["fp32-torch", "fp32-tflite", "w8a8-sim", "w8a8-tflite"]


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """The size proves nothing here; processes of their own have the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(["lite0", "b0"], patch)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos on disk: 3 classes, 24 each to learn from and 8 to measure."""
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 240), ("val", 80)):
        shapes = SyntheticPhotos(count, 0, split, 48)
        for index in range(count):
            label = int(shapes.labels[index])
            if label < 3:
                folder = root / split / synthetic.LABELS[label]
                folder.mkdir(parents=True, exist_ok=True)
                shapes.load(index).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """One build for both targets."""
    out = tmp_path_factory.mktemp("run") / "out"
    return edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        targets=["tflite", "edgetpu"],
        compile=False,
        out=out,
        **SMALL,
    )


def test_the_report_has_every_row_with_every_field(run):
    report = json.loads((run.folder / "report.json").read_text())
    assert report["schema_version"] == 1
    assert report["model"] == "lite0"
    assert [row["stage"] for row in report["rows"]] == ROWS
    fields = {"stage", "runtime", "n", "top1", "top5", "top1_ci95", "agreement", "drop_pp"}
    for row in report["rows"]:
        assert fields | {"size_bytes", "latency_ms"} <= set(row)
        assert row["n"] == 24
        assert 0 <= row["top1_ci95"][0] <= row["top1"] <= row["top1_ci95"][1] <= 1
        if row["stage"].endswith("tflite"):
            latency = {"init", "first", "median", "p5", "p95", "n", "threads"}
            assert latency <= set(row["latency_ms"])
            name = {"fp32-tflite": "fp32", "w8a8-tflite": "w8a8-static"}[row["stage"]]
            assert row["size_bytes"] == run.files[name].stat().st_size
    reference, control = report["rows"][:2]
    assert reference["drop_pp"] == 0
    assert control["agreement"] == 1.0


def test_every_field_of_the_report_is_on_its_page(run):
    check_page(json.loads((run.folder / "report.json").read_text()))


def test_the_command_of_the_report_asks_for_the_same(run, photos):
    from edgekit.cli.build import command
    from edgekit.options.build import BuildOptions
    from edgekit.pipeline.report_data import command_line

    asked = run.document["command"]
    assert asked.startswith("edgekit build lite0 ")
    for words in (
        "--epochs 1",
        "--target tflite --target edgetpu",
        "--no-compile",
        f"--val {photos / 'val'}",
    ):
        assert words in asked
    assert command_line(BuildOptions.make("b0")) == "edgekit build b0"
    assert command is not None


def test_the_files_are_what_the_report_says(run):
    import hashlib

    assert {path.name for path in run.folder.iterdir()} == {
        "labels.txt",
        "lite0.graph",
        "lite0-history.csv",
        "lite0-fp32.tflite",
        "lite0-w8a8-static.graph",
        "lite0-w8a8-static.tflite",
        "manifest.json",
        "report.html",
        "report.json",
        "stages",
    }
    for entry in run.document["files"]:
        contents = (run.folder / entry["path"]).read_bytes()
        assert len(contents) == entry["bytes"]
        assert hashlib.sha256(contents).hexdigest() == entry["sha256"]


def test_the_manifest_can_repeat_the_run(run):
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["seed"] == 0
    assert len(manifest["calibration"]["photos"]) == 16
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["calibration"]["sha256"])
    assert manifest["preprocessing"]["labels"] == sorted(synthetic.LABELS[:3])
    assert manifest["recipe"]["epochs"] == 1
    assert manifest["tools"]["torch"]
    assert set(manifest["stages"]) >= {"data", "train", "quantize", "w8a8"}


def test_labels_and_preprocessing_travel_in_the_file(run):
    metadata = read_metadata(run.files["w8a8-static"])
    assert list(metadata.labels) == sorted(synthetic.LABELS[:3])
    assert metadata.preprocessing["resolution"] == SIZE
    assert metadata.preprocessing["crop_fraction"] == 0.875


def test_the_run_object_holds_the_quantized_network(run):
    graph = run.graph
    assert graph.name == "lite0"
    assert graph.quant[graph.input].scale == (1 / 128,)
    assert [row["stage"] for row in run.rows] == ROWS


def test_the_page_shows_the_rows_and_the_command(run):
    page = (run.folder / "report.html").read_text()
    for text in (*ROWS, "edgekit build lite0"):
        assert text in page


def test_the_same_command_reuses_everything(run, photos, capsys):
    before = {path: path.stat().st_mtime_ns for path in (run.folder / "stages").rglob("*")}
    again = edgekit.build(
        "lite0",
        console=Console(),
        data=photos / "train",
        val=photos / "val",
        targets=["tflite", "edgetpu"],
        compile=False,
        out=run.folder,
        **SMALL,
    )
    assert all(stage["cached"] for stage in again.document["stages"])
    assert again.rows == run.rows
    after = {path: path.stat().st_mtime_ns for path in (run.folder / "stages").rglob("*")}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed <= {"run.json"}


def test_another_range_method_repeats_only_what_follows(run, photos, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    other = edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        targets=["tflite", "edgetpu"],
        compile=False,
        out=copy,
        ranges="minmax",
        **SMALL,
    )
    cached = {stage["name"]: stage["cached"] for stage in other.document["stages"]}
    assert cached["train"]
    assert cached["calibrate"]
    assert cached["evaluate fp32-tflite"]
    assert not cached["quantize w8a8-static"]
    assert not cached["evaluate w8a8-tflite"]


def test_two_runs_give_byte_identical_files(run, photos, tmp_path):
    again = edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        targets=["tflite", "edgetpu"],
        compile=False,
        out=tmp_path / "again",
        **SMALL,
    )
    for name in ("fp32", "w8a8-static"):
        assert again.files[name].read_bytes() == run.files[name].read_bytes()


def test_a_missing_compiler_leaves_everything_else_done(run, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    unfinished = edgekit.build(
        "lite0", data=photos / "train", val=photos / "val", out=copy, targets=["edgetpu"], **SMALL
    )
    assert isinstance(unfinished.problem, MissingToolError)
    assert unfinished.problem.exit_code == 3
    assert "edgetpu_compiler" in unfinished.problem.hint
    assert str(copy / "lite0-w8a8-static.tflite") in unfinished.problem.hint
    assert (copy / "report.html").exists()
    assert unfinished.document["targets"][0]["status"] == "not compiled"


def stand_in_compiler(folder, body):
    """A stand-in for the closed compiler: a shell script that does what ``body`` says."""
    folder.mkdir()
    script = folder / "edgetpu_compiler"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_rejecting_compiler_leaves_everything_else_done(run, photos, tmp_path, monkeypatch):
    path = stand_in_compiler(tmp_path / "bin", "echo 'Model not quantized'; exit 1")
    monkeypatch.setenv("PATH", path)
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    rejected = edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        out=copy,
        targets=["edgetpu", "tflite"],
        **SMALL,
    )
    assert rejected.problem.exit_code == 6
    assert [target["status"] for target in rejected.document["targets"]] == ["rejected", "ready"]
    assert "quantized" in rejected.problem.cause
    assert "_edgetpu.log" in rejected.document["targets"][0]["message"]
    assert rejected.rows == run.rows


COMPILED = places.SHARED / "edgetpu/pairs/mobilenet_v1_0.25_128_quant_edgetpu.tflite"


@needs("shared", COMPILED.exists())
def test_a_compiled_file_is_kept_and_reported(run, photos, tmp_path, monkeypatch):
    # The stand-in hands out a file of the real compiler, whatever it is given.
    body = f"""while [ $# -gt 1 ]; do [ "$1" = --out_dir ] && out="$2"; shift; done
cp {COMPILED} "$out/$(basename "$1" .tflite)_edgetpu.tflite"
echo 'Operator                       Count      Status'
    echo 'CONV_2D                        14         Mapped to Edge TPU'"""
    monkeypatch.setenv("PATH", stand_in_compiler(tmp_path / "bin", body))
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    done = edgekit.build(
        "lite0", data=photos / "train", val=photos / "val", out=copy, targets=["edgetpu"], **SMALL
    )
    assert done.problem is None
    assert done.document["targets"][0]["status"] == "compiled"
    assert done.files["edgetpu"] == copy / "lite0-w8a8-static_edgetpu.tflite"
    assert "edgetpu-custom-op" in read(done.files["edgetpu"]).custom_codes
    assert done.files["edgetpu"].name in {entry["path"] for entry in done.document["files"]}


@pytest.mark.slow  # cli/test_bench_devices measures the same way
def test_devices_stand_in_the_report_and_one_that_is_gone_ends_with_4(
    run, photos, tmp_path, monkeypatch
):
    """The rest of the report is there; port 1 refuses."""
    monkeypatch.setattr(
        "edgekit.targets.measure.device.user_cache_path", lambda name: tmp_path / name
    )
    out = shutil.copytree(run.folder, tmp_path / "out")
    again = edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        targets=["tflite"],
        devices=["local:", "ssh://127.0.0.1:1"],
        device_limit=7,
        out=out,
        **SMALL,
    )
    assert again.problem.exit_code == 4
    report = json.loads((out / "report.json").read_text())
    check_page(report, has=("devices[].",))
    host, gone = report["devices"]
    assert (host["device"], host["accuracy"][0]["n"]) == ("local:", 7)
    assert host["timings"][0]["median"] > 0
    assert "cannot be reached" in gone["error"]
    page = (out / "report.html").read_text()
    assert "ssh://127.0.0.1:1" in page
    again_without = edgekit.build(
        "lite0", data=photos / "train", val=photos / "val", targets=["tflite"], out=out, **SMALL
    )
    assert again_without.document["devices"] == []


def test_the_command_prints_the_report_as_json(run, photos, tmp_path, capsys):
    from edgekit.cli import run as run_command

    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    words = ["build", "lite0", "--data", photos / "train", "--val", photos / "val", "--out", copy]
    words += ["--resolution", SIZE, "--epochs", 1, "--batch-size", 16, "--calibration-count", 16]
    words += ["--threads", 1, "--target", "edgetpu", "--no-compile", "--weights", "none"]
    assert run_command([*map(str, words), "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["rows"] == run.rows
    assert document["schema_version"] == 1
    assert "cached" in captured.err
    assert run_command(list(map(str, words))) == 0
    assert "w8a8-tflite" in capsys.readouterr().out


def test_b0_with_the_built_in_shapes(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_COUNT", 64)
    monkeypatch.setattr(synthetic, "VAL_COUNT", 40)
    run = edgekit.build("b0", out=tmp_path / "out", ranges="minmax", **SMALL)
    assert run.document["data"]["builtin"]
    assert "built-in" in run.document["data"]["source"]
    model = read(run.files["w8a8-static"])
    assert model.tensors[model.inputs[0]].dtype == "uint8"


@pytest.mark.parametrize("io", ["int8", "float32"])
def test_other_inputs_give_the_same_answers(run, photos, tmp_path, io):
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    other = edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        targets=["tflite", "edgetpu"],
        compile=False,
        out=copy,
        io=io,
        **SMALL,
    )
    model = read(other.files["w8a8-static"])
    assert model.tensors[model.inputs[0]].dtype == io
    assert other.rows[-1]["top1"] == run.rows[-1]["top1"]


def test_without_a_head_the_files_give_the_embedding(run, photos, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(run.folder, copy)
    other = edgekit.build(
        "lite0", data=photos / "train", val=photos / "val", out=copy, head="none", **SMALL
    )
    for name in ("fp32", "w8a8-static"):
        model = read(other.files[name])
        assert model.tensors[model.outputs[0]].shape == (1, 1280)
        assert read_metadata(other.files[name]).output == "embedding"
        assert read_metadata(other.files[name]).labels == ()
    # The rows still measure accuracy: the trained classifier reads the files' embeddings.
    rows = {row["stage"]: row for row in other.rows}
    assert rows["fp32-torch"] == run.rows[0]
    assert rows["fp32-tflite"]["agreement"] == 1.0
    assert rows["w8a8-tflite"]["top1"] == pytest.approx(run.rows[-1]["top1"], abs=0.13)
    assert other.document["output"] == "embedding"
    assert "print(scores)" in (copy / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "name", "resolution"),
    [
        # the shares are those of most builds in these tests
        pytest.param({"width": 0.5, "depth": 0.5}, "lite0-w0.5-d0.5", SIZE, marks=pytest.mark.slow),
        ({"phi": -1}, "lite0-phi-1", SIZE),
    ],
)
def test_a_network_of_a_users_own_size(photos, tmp_path, options, name, resolution):
    small = {**SMALL, "epochs": 0}
    del small["weights"]  # nobody published any
    run = edgekit.build(
        "lite0", data=photos / "train", val=photos / "val", out=tmp_path / "out", **small, **options
    )
    assert run.document["model"] == name
    assert run.files["w8a8-static"].name == f"{name}-w8a8-static.tflite"
    model = read(run.files["fp32"])
    assert model.tensors[model.inputs[0]].shape == (1, resolution, resolution, 3)
    assert run.document["rows"][0]["n"] == 24
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["weights"] is None
    with pytest.raises(UsageError, match="nobody published weights"):
        edgekit.build("lite0", data=photos / "train", weights="imagenet", **options)


def test_published_weights_are_the_default_with_photos(photos, tmp_path, monkeypatch):
    """A registry, a mirror and a cache of the test's own."""
    trained = edgekit.build_graph(edgekit.find_spec("lite0"), resolution=SIZE, seed=3)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    trained.save(mirror / "lite0.graph")
    sha256 = hash_file(mirror / "lite0.graph")
    row = pretrained.find("lite0")
    row = replace(row, file="lite0.graph", hash=f"sha256:{sha256}", source="edgekit")
    monkeypatch.setattr(pretrained, "_registry", lambda: {"lite0": row})
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    small = {**SMALL, "epochs": 0}
    del small["weights"]
    run = edgekit.build(
        "lite0", data=photos / "train", mirror=str(mirror), out=tmp_path / "out", **small
    )
    origin = json.loads((run.folder / "manifest.json").read_text())["weights"]
    assert (origin["name"], origin["source"], origin["url"]) == ("imagenet", "edgekit", row.url)
    assert origin["sha256"] == sha256
    assert any("1000 classes" in note for note in origin["notes"])
    graph = edgekit.Graph.load(run.files["graph"])
    np.testing.assert_array_equal(graph.weights["stem/kernel"], trained.weights["stem/kernel"])
    # From the cache, without a mirror or a network.
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    edgekit.build("lite0", data=photos / "train", out=tmp_path / "again", **small)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "empty"))
    with pytest.raises(EdgekitError, match="not in the cache"):
        edgekit.build("lite0", data=photos / "train", out=tmp_path / "third", **small)


def test_a_dry_run_writes_nothing(photos, tmp_path):
    run = edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        targets=["edgetpu"],
        out=tmp_path / "out",
        dry_run=True,
        **SMALL,
    )
    assert run.document is None
    assert not (tmp_path / "out").exists()
    assert "[3/17] train  to run" in run.planned
    assert "edgetpu_compiler --out_dir" in run.planned[-2]


def test_a_dry_run_of_a_finished_build_shows_what_is_reused(run, photos, capsys):
    from edgekit.cli import run as run_command

    words = ["build", "lite0", "--data", photos / "train", "--val", photos / "val"]
    words += ["--out", run.folder, "--resolution", SIZE, "--epochs", 1, "--batch-size", 16]
    words += ["--calibration-count", 16, "--ranges", "minmax", "--dry-run", "--weights", "none"]
    assert run_command(list(map(str, words))) == 0
    shown = capsys.readouterr().out
    assert "train  cached" in shown
    assert "quantize w8a8-static  to run" in shown


def kill_when(marker: str, arguments: list[str], number: int) -> int:
    """Runs the command line until its progress shows a marker, then sends it a signal."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", "from edgekit.cli import main; main()", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(edgekit.__file__).parents[1])},
    )
    out = Path(arguments[arguments.index("--out") + 1])
    deadline = time.monotonic() + 120
    while not list(out.glob(marker)):
        assert time.monotonic() < deadline
        assert process.poll() is None, f"it ended before {marker} was seen"
        time.sleep(0.001)  # some stages take a tenth of a second
    process.send_signal(number)
    process.communicate(timeout=120)
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "marker",
    ["stages/train-*.partial/checkpoint.pt", "stages/evaluate-fp32-torch-*.partial"],
    ids=["training", "evaluation"],
)
def test_a_killed_build_goes_on_to_the_same_files(photos, tmp_path, marker, number):
    arguments = ["build", "lite0", "--data", str(photos / "train"), "--val", str(photos / "val")]
    arguments += ["--resolution", "32", "--epochs", "4", "--batch-size", "16"]
    arguments += ["--weights", "none"]
    arguments += ["--calibration-count", "16", "--threads", "2", "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    code = kill_when(marker, [*arguments, str(killed)], number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert not (killed / "report.json").exists()
    for folder in (killed, whole):
        done = subprocess.run(
            [sys.executable, "-c", "from edgekit.cli import main; main()", *arguments, str(folder)],
            env={**os.environ, "PYTHONPATH": str(Path(edgekit.__file__).parents[1])},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    for name in ("lite0-fp32.tflite", "lite0-w8a8-static.tflite"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_truncated_photos_are_named_and_skipped(photos, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(photos / "train", data)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "x.jpg")
    broken = data / synthetic.LABELS[0] / "broken.jpg"
    broken.write_bytes((tmp_path / "x.jpg").read_bytes()[:200])
    with pytest.raises(KeyboardInterrupt):
        edgekit.build("lite0", console=StopAt("weights"), data=data, out=tmp_path / "out", **SMALL)
    assert "skipped" in capsys.readouterr().err


class StopAt(Console):
    """A console that interrupts the build when a stage begins."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def stage(self, index, total, name):
        if name == self.name:
            raise KeyboardInterrupt
        return super().stage(index, total, name)


# what is wrong, and words of the message
BAD_DATA = {
    "missing": "no such",
    "empty": "no photo",
    "one class": "one class",
    "text files": "no photo",
    "mostly broken": "unreadable|cannot be read",
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_data_that_cannot_be_used(photos, tmp_path, kind):
    data = tmp_path / "data"
    if kind != "missing":
        data.mkdir()
    if kind == "one class":
        shutil.copytree(photos / "train" / synthetic.LABELS[0], data / synthetic.LABELS[0])
    if kind == "text files":
        for name in ("a", "b"):
            (data / name).mkdir()
            (data / name / "notes.txt").write_text("no photo")
    if kind == "mostly broken":
        shutil.copytree(photos / "train", data, dirs_exist_ok=True)
        for path in list(data.rglob("*.png"))[:20]:
            path.write_bytes(b"not a photo")
    with pytest.raises(UsageError) as caught:
        edgekit.build("lite0", data=data, out=tmp_path / "out", **SMALL)
    assert caught.value.hint or caught.value.cause
    assert not (tmp_path / "out" / "report.json").exists()


def test_three_calibration_photos_are_too_few(photos, tmp_path):
    paths = sorted((photos / "train").rglob("*.png"))[:3]
    listing = tmp_path / "calibration.txt"
    listing.write_text("\n".join(map(str, paths)))
    with pytest.raises(UsageError, match="calibration") as caught:
        edgekit.build(
            "lite0", data=photos / "train", calibration=listing, out=tmp_path / "out", **SMALL
        )
    assert caught.value.exit_code == 2


def test_weights_of_another_model(run, photos, tmp_path):
    with pytest.raises(UsageError, match="not those of b0"):
        edgekit.build(
            "b0",
            data=photos / "train",
            out=tmp_path / "out",
            **{**SMALL, "weights": run.files["graph"]},
        )


def test_weights_of_an_earlier_run_start_another(run, photos, tmp_path):
    # Its classifier fits: the labels are the same, so nothing is replaced.
    tuned = edgekit.build(
        "lite0",
        data=photos / "train",
        val=photos / "val",
        out=tmp_path / "out",
        **{**SMALL, "epochs": 0, "weights": run.files["graph"]},
    )
    assert tuned.rows[0]["top1"] == run.rows[0]["top1"]
    assert tuned.document["training"] is None


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to mount a tmpfs")
def test_a_full_disk(photos, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(EdgekitError, match="is full") as caught:
            edgekit.build(
                "lite0",
                data=photos / "train",
                val=photos / "val",
                out=disk / "out",
                **{**SMALL, "epochs": 0},
            )
        assert caught.value.exit_code == 1
        # The finished stage is there, and nothing half written beside it.
        assert list((disk / "out" / "stages").glob("data-*/stage.json"))
        assert not list((disk / "out").rglob("*.tmp"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_read_only_folder(photos, tmp_path):
    if os.geteuid() == 0:
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", disk], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("root writes everywhere, and mounting is not allowed here")
    else:
        disk = tmp_path / "disk"
        disk.mkdir(mode=0o500)
    try:
        with pytest.raises(UsageError, match="cannot write"):
            edgekit.build("lite0", data=photos / "train", out=disk / "out", **SMALL)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", disk], check=True)
