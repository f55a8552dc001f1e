from __future__ import annotations

import gc
import json
import subprocess
import sys

import numpy as np
import pytest
from described import embed
from foreign_files import FOREIGN, depth, ending_in, input_shape
from PIL import Image
from prerequisites import NEEDS
from tiny_tflite import SIZE, TinyModel, float_io

from edgekit.bench import worker as bench_child
from edgekit.bench.worker import burst, load
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.test_image import draw
from edgekit.errors import MissingToolError, UsageError
from edgekit.runtimes.litert import LiteRT

LABELS = ("a", "b", "c", "d", "e")
CROPPED = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, LABELS, 0.5)


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """Spares the collections before memory is measured what earlier tests have imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny.tflite"
    described = {"name": "n", "description": "d", "labels": LABELS}
    path.write_bytes(embed(TinyModel().pack(), preprocessing=CROPPED, **described))
    return path


@pytest.fixture
def fed(monkeypatch):
    """What models are given."""
    given, set_input = [], LiteRT.set_input

    def keep(self, values):
        given.append(values)
        set_input(self, values)

    monkeypatch.setattr(LiteRT, "set_input", keep)
    return given


class Counting:
    """A model that counts its runs."""

    def __init__(self):
        self.runs = 0

    def invoke(self):
        self.runs += 1


@pytest.mark.parametrize("seconds", [1e-9, 0.02])
def test_a_burst_is_measured_but_for_its_first_run(seconds):
    model = Counting()
    times = burst(model, seconds)
    assert len(times) == model.runs - 1 >= 1
    assert min(times) >= 0


def test_a_file_is_loaded_and_run_once(path, fed):
    model, figures = load(str(path), 1, None)
    assert figures["runtime"] == model.runtime
    assert figures["scheme"] == "w8a8-static"
    assert figures["load_ms"] == model.load_seconds * 1e3
    assert figures["first_ms"] > 0
    np.testing.assert_array_equal(fed[-1][0], draw(SIZE))


def test_a_photo_is_prepared_as_the_file_says(path, fed, tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(draw(40)).save(photo)
    load(str(path), 1, str(photo))
    with Image.open(photo) as image:
        np.testing.assert_array_equal(fed[-1][0], CROPPED.pixels(image))


def test_a_float_file_that_says_nothing_can_be_measured(tmp_path, fed):
    path = tmp_path / "bare.tflite"
    path.write_bytes(float_io().pack())
    load(str(path), 1, None)
    np.testing.assert_allclose(fed[-1][0], (draw(SIZE) - 127.5) / 127.5, rtol=1e-6)


@pytest.mark.parametrize("name", ["none.tflite", "model.txt"])
def test_a_bad_file_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=name):
        load(str(tmp_path / name), 1, None)


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (MissingToolError("m", cause="c", hint="h"), (3, "m", "c", "h")),
        (ValueError("odd"), (1, "f.onnx cannot be run", "ValueError: odd", None)),
    ],
)
def test_errors_cross_the_pipe(error, described):
    words = dict(zip(("exit_code", "message", "cause", "hint"), described, strict=True))
    assert bench_child._describe(error, "f.onnx") == words


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it so")
def test_resident_memory_counts_what_is_held():
    """In a process of its own: here, something else may be freed in between."""
    program = (
        "import numpy; from edgekit.bench.worker import _resident\n"
        "before = _resident(); held = numpy.ones(8_000_000)\n"
        "print((_resident() - before) / held.nbytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(1, rel=0.2)


def test_each_line_is_answered_with_one(path, tmp_path):
    """In a process: also what a library prints on stdout, and the end of stdin."""
    request = {"file": 0, "path": str(path), "threads": 1, "photo": None, "seconds": 0}
    request |= {"device": "CPU", "cache": None}
    requests = [
        request,
        request | {"seconds": 0.01},
        request | {"file": 1, "path": str(tmp_path / "none.tflite")},
        request | {"seconds": 0.01},
    ]
    noisy = (
        "import os; from edgekit.bench import worker; from edgekit.runtimes import litert\n"
        "invoke = litert.LiteRT.invoke\n"
        "litert.LiteRT.invoke = lambda self: (os.write(1, b'noise\\n'), invoke(self))\n"
        "worker.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", noisy],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, first, wrong, second = map(json.loads, done.stdout.splitlines())
    assert loaded["result"]["runtime"].startswith("LiteRT ")
    assert len(first["result"]) >= 1
    assert wrong["error"]["exit_code"] == 2
    assert len(second["result"]) >= 1
    assert "noise" in done.stderr


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (depth(), "its output [1, 4, 4, 1]"),
        (ending_in("scores", "gated"), "it has 2 outputs"),
        (input_shape(4, 8, 8, 3), "it takes [4, 8, 8, 3]"),
    ],
)
def test_what_is_no_classifier_is_run_and_said_to_be_none(tmp_path, tiny, says):
    path, photo = tmp_path / "m.tflite", tmp_path / "photo.png"
    path.write_bytes(tiny.pack())
    Image.fromarray(draw(40)).save(photo)
    model, figures = load(str(path), 1, str(photo))
    assert says in figures["not_a_classifier"]
    assert len(burst(model, 1e-9)) == 1


def test_a_photo_of_any_sides_is_fed(tmp_path, fed):
    path, photo = tmp_path / "m.tflite", tmp_path / "photo.png"
    tiny = ending_in("stem")
    for name, sides in (("image", (6, 8)), ("pixels", (6, 8)), ("stem", (3, 4))):
        tensor = tiny.tensor(name)
        tensor.shape = [1, *sides, tensor.shape[3]]
    path.write_bytes(tiny.pack())
    Image.fromarray(draw(40)).save(photo)
    load(str(path), 1, str(photo))
    assert [given.shape for given in fed] == [(1, 6, 8, 3)] * 2


def test_the_size_counts_every_file_of_a_model(tmp_path):
    pytest.importorskip("onnxruntime", reason=NEEDS["onnxruntime"].reason)
    _, figures = load(str(FOREIGN / "external.onnx"), 1, None)
    assert figures["size_bytes"] == 356 + 512
    assert figures["not_a_classifier"] is None
