"""Against this machine and a real OpenSSH server; the device's Python is the tests' own."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from described import embed
from foreign_files import FOREIGN, GREEN, activated, custom, depth, ending_in, labelled
from PIL import Image
from prerequisites import needs, skip_without
from ssh_server import SSHD, serve
from stand_in import compiled_model
from tiny_tflite import CLASSES, SIZE, TinyModel, float_io

from edgekit.data.normalization import Normalization
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import DeviceError, EdgekitError, MissingToolError, UsageError
from edgekit.report.answer_log import read_log
from edgekit.system.hashing import file_hash
from edgekit.targets.classify import classify
from edgekit.targets.deploy import deploy as deploying
from edgekit.targets.deploy.apis import INTERPRETER
from edgekit.targets.deploy.deploy import deploy
from edgekit.targets.deploy.model import find_source, labels_text
from edgekit.targets.deploy.programs import STEPS
from edgekit.targets.deploy.templates import c_string, kotlin_string, markdown_code
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.measure.isolated import Effort
from edgekit.tasks.classification.task import TASK

LABELS = ("daisy", "rose", "tulip", "poppy", "aster")
PREPROCESSING = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, LABELS)
HOSTILE = ["a b", "a'b\"c", "$(touch never)`x`", "ü→", "back\\slash", "new\nline", "-rf"]
#: The same in fewer names, for what takes a second each.
TOGETHER = ["$(touch never)`x` a'b\"c", "back\\slash new\nline ü→", "-rf"]
needs_sshd = needs("sshd", SSHD is not None)
# What the sources use of the C API, as its header declares it.
STUB = """\
#include <stddef.h>
#include <stdint.h>
typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteTensor TfLiteTensor;
typedef enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
extern "C" {
TfLiteModel* TfLiteModelCreateFromFile(const char*);
void TfLiteModelDelete(TfLiteModel*);
TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate();
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions*);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions*, int32_t);
TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel*, const TfLiteInterpreterOptions*);
void TfLiteInterpreterDelete(TfLiteInterpreter*);
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*);
TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter*);
TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter*, int32_t);
const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter*, int32_t);
TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor*, const void*, size_t);
TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor*, void*, size_t);
}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    monkeypatch.setenv("HOME", str(running.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return running


def write_model(path: Path, tiny: TinyModel | None = None) -> Path:
    data = (tiny or TinyModel()).pack()
    described = {"name": "n", "description": "d", "labels": LABELS}
    path.write_bytes(embed(data, preprocessing=PREPROCESSING, **described))
    return path


def write_run(folder: Path, model: str = "tiny", labels: tuple[str, ...] = LABELS) -> Path:
    folder.mkdir(parents=True)
    file = write_model(folder / f"{model}-w8a8-static.tflite")
    report = {"model": model, "files": [{"path": file.name}], "data": {"labels": labels}}
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def local(run: Path, to: Path, **options):
    return deploy(run, "local:", to=str(to), python=sys.executable, **options)


def ask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(folder / "classify.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd="/", timeout=60)


@pytest.mark.parametrize("tiny", [TinyModel(), float_io()], ids=["uint8", "float32"])
def test_the_program_answers_as_edgekit_does(tmp_path, tiny):
    model = write_model(tmp_path / "tiny.tflite", tiny)
    done = local(model, tmp_path / "there")
    assert "same class" in done.checked
    assert sorted(done.files) == sorted(p.name for p in (tmp_path / "there").iterdir())
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(photo)
    answer = json.loads(ask(tmp_path / "there", "--json", str(photo)).stdout)
    expected = classify(model, [photo], effort=Effort(repeat=1))["photos"][0]["top"]
    assert [place["label"] for place in answer["top"]] == [place["label"] for place in expected]
    assert sum(place["probability"] for place in answer["top"]) == pytest.approx(1)
    assert not list(tmp_path.glob("there.*"))


def test_the_program_keeps_a_log_where_it_is_asked_to(tmp_path):
    local(write_model(tmp_path / "tiny.tflite"), tmp_path / "there")
    rng = np.random.default_rng(2)
    photos = [tmp_path / f"{k}.png" for k in range(40)]
    for photo in photos:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(photo)
    log = tmp_path / "answers.jsonl"
    shown = ask(tmp_path / "there", "--json", *map(str, photos))
    assert not log.exists()  # off by default
    ran = ask(tmp_path / "there", "--log", str(log), "--json", *map(str, photos))
    assert ran.stdout == shown.stdout
    found = read_log(log)
    assert found.labels == LABELS
    assert found.model == file_hash(tmp_path / "tiny.tflite")
    answers = [json.loads(line)["index"] for line in ran.stdout.splitlines()]
    assert found.scores.argmax(axis=1).tolist() == answers
    assert found.latency["median"] > 0
    # It is begun anew where it is full, and one older part stays.
    small = tmp_path / "small.jsonl"
    ask(tmp_path / "there", "--log", str(small), "--log-mb", "0.002", *map(str, photos))
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("small.jsonl*"))]
    assert len(sizes) == 2
    assert max(sizes) <= 2000 + 400  # and the first line
    assert 5 < len(read_log(small).scores) < 40
    full = ask(tmp_path / "there", "--log", str(tmp_path / "no/log"), str(photos[0]))
    assert full.returncode == 1
    assert "cannot be written" in full.stderr


@needs_sshd
@pytest.mark.parametrize("name", TOGETHER)
def test_hostile_names_go_through_ssh_unharmed(server, tmp_path, name):
    labels = (name, *LABELS[1:])
    run = write_run(tmp_path / f"run {name}", name, labels)
    to = tmp_path / f"to {name}"
    done = deploy(run, server.url, to=str(to), python=sys.executable)
    assert done.folder == str(to)
    record = json.loads((to / "model.json").read_text())
    assert tuple(record["labels"]) == labels
    assert len((to / "labels.txt").read_text().split("\n")) == CLASSES + 1
    assert (to / record["file"]).read_bytes() == (run / record["file"]).read_bytes()
    assert not (to / ".edgekit-pid").exists()
    there = shlex.split(done.command)[-1]  # what the device's shell is given
    assert (
        subprocess.run(["sh", "-c", there], cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0
    )
    assert not list(tmp_path.rglob("never"))
    assert server.left() == []


@needs_sshd
def test_the_default_folder_is_in_the_login_folder(server, tmp_path):
    done = deploy(write_run(tmp_path / "run", "x y"), server.url, python=sys.executable)
    home = server.home.parent
    assert done.folder == str(home / "edgekit-x-y")
    assert done.command.startswith("ssh -p ")
    shutil.rmtree(done.folder)


@pytest.mark.parametrize("what", ["empty", "other", "file", "link", "more"])
def test_what_is_not_ours_is_refused_and_stays(tmp_path, what):
    run, to = write_run(tmp_path / "run"), tmp_path / "to"
    if what == "file":
        to.write_text("mine")
    elif what == "link":
        (tmp_path / "elsewhere").mkdir()
        to.symlink_to(tmp_path / "elsewhere")
    elif what == "more":
        local(run, to)
        (to / "mine.txt").write_text("mine")
    else:
        to.mkdir()
        if what == "other":
            (to / "model.json").write_text('{"format": "another"}')
    with pytest.raises(UsageError, match=str(to)):
        local(run, to)
    assert to.exists()
    assert what != "more" or (to / "mine.txt").read_text() == "mine"


def test_ours_is_replaced(tmp_path):
    to = tmp_path / "to"
    local(write_run(tmp_path / "run", "one"), to)
    local(write_run(tmp_path / "run2", "two"), to)
    assert [path.name for path in to.glob("*.tflite")] == ["two-w8a8-static.tflite"]
    assert not list(tmp_path.glob("to.*"))


@pytest.mark.parametrize("wrong", ["class", "outputs"])
def test_a_wrong_answer_leaves_the_folder_as_it_was(tmp_path, monkeypatch, wrong):
    run, to = write_run(tmp_path / "run"), tmp_path / "to"
    local(run, to)
    before = (to / "model.json").stat().st_ino
    ask_device = deploying._ask

    def lie(*arguments):
        answer = ask_device(*arguments)
        if wrong == "class":
            return answer | {"index": (answer["index"] + 1) % CLASSES}
        answer["top"][-1]["output"] -= STEPS + 1
        return answer

    monkeypatch.setattr(deploying, "_ask", lie)
    with pytest.raises(EdgekitError, match="does not answer as this host") as caught:
        local(run, to)
    assert caught.value.exit_code == 1
    assert (to / "model.json").stat().st_ino == before
    assert not list(tmp_path.glob("to.*"))


def test_a_full_disk_is_a_device_error(tmp_path, monkeypatch):
    def full(self, source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalHost, "put", full)
    with pytest.raises(DeviceError) as caught:
        local(write_run(tmp_path / "run"), tmp_path / "to")
    assert caught.value.cause == "No space left on device"
    assert not list(tmp_path.glob("to*"))


def test_a_python_that_is_not_there(tmp_path):
    with pytest.raises(MissingToolError, match="no-python"):
        deploy(write_run(tmp_path / "run"), "local:", to=str(tmp_path / "to"), python="no-python")


def test_without_pillow_and_opencv_only_the_own_size_is_read(tmp_path):
    to = tmp_path / "to"
    local(write_run(tmp_path / "run"), to)
    for name in ("PIL", "cv2"):
        (tmp_path / "hide").mkdir(exist_ok=True)
        (tmp_path / "hide" / f"{name}.py").write_text("raise ImportError('hidden')")
    (tmp_path / "other.ppm").write_bytes(b"P6 # why\n2 1 255\n" + bytes(6))
    env = {"PYTHONPATH": str(tmp_path / "hide"), "PATH": "/usr/bin:/bin"}

    def run(photo: Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(to / "classify.py"), str(photo)]
        return subprocess.run(line, capture_output=True, text=True, env=env)

    assert run(to / "check.ppm").returncode == 0
    assert "2 x 1 pixels cannot be resized" in run(tmp_path / "other.ppm").stderr
    (tmp_path / "photo.jpg").write_bytes(b"x")
    assert "only .ppm can be read" in run(tmp_path / "photo.jpg").stderr


@pytest.mark.parametrize("minor", [9, 10, 11])
def test_the_program_is_python_3_9(minor):
    ast.parse(TASK.device_program.read_text(), feature_version=(3, minor))
    assert "edgekit." not in TASK.device_program.read_text()


def test_the_file_is_found(tmp_path):
    run = write_run(tmp_path / "run")
    assert find_source(run).path.name == "tiny-w8a8-static.tflite"
    with pytest.raises(UsageError) as caught:
        find_source(run, "tiny-w8a8.tflite")
    assert "tiny-w8a8-static" in caught.value.hint
    with pytest.raises(UsageError, match="no finished run"):
        find_source(tmp_path)


def bundle(tmp_path: Path, name: str = "tiny", tiny: TinyModel | None = None) -> Path:
    model = write_model(tmp_path / f"{name}.tflite", tiny)
    done = deploy(model, None, android=INTERPRETER, to=str(tmp_path / "app"))
    assert done.checked == "not run on the phone"
    return tmp_path / "app/app/src/main"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_kotlin_has_the_files_constants(tmp_path, name):
    main = bundle(tmp_path, name)
    kotlin = "".join(path.read_text() for path in (main / "java/edgekit").glob("*.kt"))
    (asset,) = (path.name for path in (main / "assets").glob("*.tflite"))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", asset)
    assert f'MODEL = "{asset}"' in kotlin
    assert f"SIZE = {SIZE}\n" in kotlin
    assert f"CLASSES = {CLASSES}\n" in kotlin
    assert "ZERO_POINT = 131\n" in kotlin
    assert "((output[it].toInt() and 0xFF) - ZERO_POINT) * SCALE" in kotlin
    assert all(kotlin.count(left) == kotlin.count(right) for left, right in ("{}", "()", "[]"))
    assert kotlin.isascii()


@pytest.mark.parametrize("tiny", [TinyModel(), float_io()], ids=["uint8", "float32"])
@pytest.mark.parametrize("headers", ["stub", "tensorflow"])
def test_the_cpp_compiles(tmp_path, tiny, headers):
    compiler = shutil.which("g++")
    if compiler is None:
        skip_without("g++")
    include = tmp_path
    if headers == "tensorflow":
        found = importlib.util.find_spec("tensorflow")
        if found is None:
            skip_without("tensorflow")
        include = Path(found.origin).parent / "include"
        if not (include / "tensorflow/lite/c/c_api.h").exists():
            pytest.skip("this TensorFlow package has no headers of TensorFlow Lite")
    else:
        (tmp_path / "tensorflow/lite/c").mkdir(parents=True)
        (tmp_path / "tensorflow/lite/c/c_api.h").write_text(STUB)
    sources = sorted((bundle(tmp_path, tiny=tiny) / "cpp").glob("*.cc"))
    assert len(sources) == 2
    flags = ["-std=c++14", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", str(include)]
    subprocess.run([compiler, *flags, *map(str, sources)], check=True)


def test_the_hook_decides_what_is_said_and_what_stays(tmp_path):
    model = write_model(tmp_path / "tiny.tflite")
    seen = []

    def check(path: Path) -> str:
        seen.append(path.read_bytes())
        return "ran"

    done = deploy(model, "adb:", to=str(tmp_path / "app"), check=check)
    assert (done.checked, seen) == ("ran", [model.read_bytes()])


def test_a_compiled_file_is_not_for_a_phone(tmp_path):
    (tmp_path / "x_edgetpu.tflite").write_bytes(compiled_model())
    with pytest.raises(UsageError, match="no phone"):
        deploy(tmp_path / "x_edgetpu.tflite", None, android=INTERPRETER)


@pytest.mark.parametrize(
    ("device", "options"), [(None, {}), ("ssh://pi", {"android": INTERPRETER}), ("usb:", {})]
)
def test_bad_requests(tmp_path, device, options):
    with pytest.raises(UsageError):
        deploy(write_run(tmp_path / "run"), device, **options)


def test_literals():
    assert kotlin_string('a"$b\\\n\fü') == '"a\\"\\$b\\\\\\n\\u000c\\u00fc"'
    assert c_string('a"ü?\n1') == '"a\\042\\303\\274\\077\\0121"'
    assert markdown_code("a`b\n") == "`` a`b? ``"
    assert labels_text(["a\nb\u2028c", "d"]) == "a b c\nd\n"


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (depth(), "no single list of scores"),
        (ending_in("scores", "gated"), "2 outputs"),
        (custom("TFLite_Detection_PostProcess"), "a detector"),
    ],
)
@pytest.mark.parametrize("android", [INTERPRETER, None])
def test_what_is_no_classifier_is_refused(tmp_path, tiny, says, android):
    path, to = tmp_path / "m.tflite", tmp_path / "there"
    path.write_bytes(tiny.pack())
    device = None if android else "local:"
    with pytest.raises(UsageError, match="not an image classifier") as caught:
        deploy(path, device, to=str(to), android=android)
    assert says in caught.value.cause
    assert not to.exists()


@pytest.mark.parametrize("name", ["labels_background_1_more", "labels_one_dict"])
def test_a_green_photo_is_green_there(tmp_path, name):
    path = tmp_path / "m.tflite"
    path.write_bytes((FOREIGN / f"{name}.tflite").read_bytes())
    done = local(path, tmp_path / "there")
    answer = json.loads(ask(tmp_path / "there", "--json", str(GREEN)).stdout)
    assert answer["label"] == "green"
    assert answer["top"][0]["probability"] == pytest.approx(1)  # and no softmax of it
    noted = done.labels_note is not None and "4 labels for 3 classes" in done.labels_note
    assert noted == (name == "labels_background_1_more")


def test_labels_that_do_not_fit_are_numbers_and_that_is_said(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(labelled(b"a\nb\n"))
    done = deploy(path, None, to=str(tmp_path / "there"), android=INTERPRETER)
    assert done.labels_note == "the file has 2 labels for 5 classes: classes are numbers here"
    record = json.loads((tmp_path / "there/model.json").read_text())
    assert record["labels"] == [f"class {i}" for i in range(5)]


@pytest.mark.parametrize(
    ("tiny", "kind"),
    [
        (activated("SOFTMAX"), "probability"),
        (activated("LOGISTIC"), "probability"),
        (TinyModel(), "logits"),
        (float_io(), "logits"),
    ],
)
def test_probabilities_are_told_from_logits_without_metadata(tmp_path, tiny, kind):
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny.pack())
    given = Normalization((127.0,) * 3, (128.0,) * 3) if tiny.tensor("image").type == 0 else None
    deploy(path, None, to=str(tmp_path / "there"), android=INTERPRETER, normalization=given)
    assert json.loads((tmp_path / "there/model.json").read_text())["output"]["kind"] == kind


def test_a_normalization_is_given_for_a_file_that_states_none(tmp_path):
    path, photo = tmp_path / "m.tflite", tmp_path / "photo.png"
    path.write_bytes(float_io().pack())
    with pytest.raises(UsageError, match="how a photo is normalised") as caught:
        local(path, tmp_path / "there")
    assert "--mean R,G,B --std R,G,B" in caught.value.hint
    given = Normalization((127.0, 100.0, 90.0), (128.0,) * 3)
    local(path, tmp_path / "there", normalization=given)
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (9, 9, 3)).astype(np.uint8)).save(
        photo
    )
    answer = json.loads(ask(tmp_path / "there", "--json", str(photo)).stdout)
    expected = classify(path, [photo], effort=Effort(repeat=1), normalization=given)["photos"][0][
        "top"
    ]
    assert [p["output"] for p in answer["top"]] == pytest.approx([p["score"] for p in expected])
