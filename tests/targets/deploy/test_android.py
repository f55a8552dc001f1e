"""An app's sources, built by real compilers and run here: its pixels and its answers are ours."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import app_builds
import numpy as np
import pytest
from app_builds import App
from described import embed
from detector_files import contents as detector
from map_files import contents as segmenter
from map_files import photo
from PIL import Image
from places import SHARED
from prerequisites import needs, skip_without
from tiny_tflite import SIZE, TinyModel, float_io, int8_io

from edgekit.converters.tflite.file import schema
from edgekit.data.preprocessing import Preprocessing
from edgekit.targets.classify import classify
from edgekit.targets.deploy.apis import APIS, INTERPRETER
from edgekit.targets.deploy.deploy import deploy
from edgekit.targets.detect import detect
from edgekit.targets.measure.isolated import Effort
from edgekit.targets.segment import segment
from edgekit.tasks.segmentation import overlay

LABELS = ("daisy", "rose", "tulip", "poppy", "aster")
PREPROCESSING = Preprocessing(SIZE, (127.0, 120.5, 90.0), (128.0, 60.25, 57.0), LABELS)
#: In pixels of a photo: a box is in fractions of the input, in 32-bit floats.
APART = 1e-3


def classifier(tiny: TinyModel) -> bytes:
    about = {"name": "n", "description": "d", "labels": LABELS}
    return embed(tiny.pack(), preprocessing=PREPROCESSING, **about)


def reordered(data: bytes) -> bytes:
    """A file whose first signature lists its outputs in the opposite order."""
    changed = bytearray(data)
    signature = schema().Model.GetRootAs(data, 0).SignatureDefs(0)
    ends = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    for end, other in zip(ends, reversed(ends), strict=True):
        table = end._tab
        place = table.Pos + table.Offset(6)  # tensor_index
        changed[place : place + 4] = int(other.TensorIndex()).to_bytes(4, "little")
    return bytes(changed)


@dataclass(frozen=True)
class Case:
    """A file, and by which APIs an app of it is built: each takes the compiler seconds."""

    make: Callable[[], bytes]
    apis: tuple[str, ...] = tuple(APIS)


FIRST, SECOND = ("interpreter",), ("compiled-model",)
CASES = {
    "bytes": Case(lambda: classifier(TinyModel())),
    "float": Case(lambda: classifier(float_io())),
    "quantized": Case(lambda: classifier(int8_io(0.0175, -3))),
    "logits-padded": Case(lambda: segmenter("unet", "logits", fit="pad"), FIRST),
    "classes-cropped": Case(lambda: segmenter("unet", "classes", fit="crop"), SECOND),
    "logits-float": Case(lambda: segmenter("unet", "logits", is_float=True), SECOND),
    "boxes-padded": Case(lambda: detector("detections", fit="pad"), FIRST),
    "boxes-reordered": Case(lambda: reordered(detector("detections")), SECOND),
    "anchors-padded": Case(lambda: detector("raw", fit="pad"), FIRST),
    "anchors-int8": Case(lambda: detector("raw", io="int8"), SECOND),
}
BUILT = [(name, api) for name, case in CASES.items() for api in case.apis]


def photos() -> list[Image.Image]:
    """Of several shapes: larger than the inputs, smaller, of their size, and partly transparent."""
    sizes = [(17, 90), (301, 200), (7, 5), (32, 32), (8, 8)]
    rng = np.random.default_rng(5)
    noise = [rng.integers(0, 256, (high, wide, 3), np.uint8) for wide, high in sizes]
    found = [Image.fromarray(pixels) for pixels in (photo(), *noise)]
    # Each colour with each transparency.
    color, alpha = np.meshgrid(np.arange(256), np.arange(256))
    clear = np.stack([color, 255 - color, color ^ 85, alpha], axis=2).astype(np.uint8)
    return [*found, Image.fromarray(clear, "RGBA")]


def real_photo() -> list[Image.Image]:
    """One of the development data, where that is present."""
    flowers = sorted((SHARED / "data/flowers/val/tulips").glob("*.jpg"))
    return [Image.open(flowers[0]).convert("RGB")] if flowers else []


@pytest.fixture(scope="module")
def apps(tmp_path_factory) -> dict[tuple[str, str], App]:
    """The apps of all cases, by its name and the API."""
    if missing := app_builds.missing():
        skip_without(missing)
    folder = tmp_path_factory.mktemp("apps")
    found = {}
    for name, api in BUILT:
        model = folder / f"{name}.tflite"
        model.write_bytes(CASES[name].make())
        shown = photos() + real_photo()
        found[name, api] = app_builds.write_app(model, folder / f"{name}-{api}", api, shown)
    app_builds.build(list(found.values()), folder / "classes")
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """The photos as files."""
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for number, shown in enumerate(photos() + real_photo()):
        found.append(folder / f"{number}.png")
        shown.save(found[-1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "api"), BUILT)
def test_the_kotlin_compiles_without_a_warning(apps, name, api):
    assert apps[name, api].said == ""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "api"), BUILT)
def test_the_kotlin_feeds_the_bytes_that_edgekit_feeds(apps, name, api):
    app = apps[name, api]
    for number, shown in enumerate(photos()):
        wanted = app.prepared(shown)
        fed = np.frombuffer(app.fed(number), wanted.dtype).reshape(wanted.shape)
        assert np.array_equal(fed, wanted), f"photo {number}"


@pytest.mark.slow
@needs("shared", SHARED.is_dir())
@pytest.mark.parametrize(("name", "api"), BUILT)
def test_the_kotlin_feeds_the_bytes_of_a_real_photo(apps, name, api):
    app = apps[name, api]
    assert app.fed(len(photos())) == app.prepared(*real_photo()).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "api"), BUILT)
def test_the_kotlin_answers_as_edgekit_does(apps, files, name, api):
    app = apps[name, api]
    answers = {
        "classification": classified,
        "segmentation": segmented,
        "detection": detected,
    }[app.preprocessing.task]
    answers(app, files)


def classified(app: App, files: list[Path]) -> None:
    ours = classify(app.model, files, top=len(LABELS), effort=Effort(repeat=1))["photos"]
    for line, answer in zip(app.printed, ours, strict=True):
        assert line[::2] == [place["index"] for place in answer["top"]]
        wanted = [place["probability"] for place in answer["top"]]
        assert line[1::2] == pytest.approx(wanted, abs=1e-6)


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def segmented(app: App, files: list[Path]) -> None:
    folder = empty(app.folder / "masks")
    drawings = empty(app.folder / "drawings")
    segment(app.model, files, out=drawings, mask=folder, effort=Effort(repeat=1))
    for number, path in enumerate(files):
        with Image.open(next(folder.glob(f"{number}*.png"))) as mask:
            wanted = np.array(mask)
        classes, drawn = (np.array(app.printed[2 * number + i], np.int64) for i in range(2))
        assert np.array_equal(classes.reshape(wanted.shape), wanted), path
        if number == 0:
            colors = np.stack([drawn >> 16 & 255, drawn >> 8 & 255, drawn & 255], axis=1)
            with Image.open(path) as shown:
                ours = overlay.draw(np.array(shown), wanted)
            assert np.array_equal(colors.reshape(ours.shape), ours)


def detected(app: App, files: list[Path]) -> None:
    drawings = empty(app.folder / "drawings")
    ours = detect(app.model, files, out=drawings, effort=Effort(repeat=1))["photos"]
    assert sum(len(answer["boxes"]) for answer in ours) > 10
    for line, answer in zip(app.printed, ours, strict=True):
        boxes = [one for one in answer["boxes"] if one["score"] >= 0.3]
        rows = np.array(line).reshape(-1, 6)
        keys = ("top", "left", "bottom", "right", "score", "index")
        wanted = np.array([[one[key] for key in keys] for one in boxes]).reshape(-1, 6)
        assert rows == pytest.approx(wanted, abs=APART)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bytes", "float", "quantized"])
def test_the_cpp_answers_as_edgekit_does_with_the_real_library(tmp_path, files, name):
    if shutil.which("g++") is None:
        skip_without("g++")
    if app_builds.c_library() is None:
        skip_without("libtensorflowlite_c")
    model = tmp_path / "m.tflite"
    model.write_bytes(CASES[name].make())
    deploy(model, None, android=INTERPRETER, to=str(tmp_path / "app"))
    program = app_builds.build_cpp(tmp_path / "app/app/src/main", tmp_path)
    shown = photos() + real_photo()
    paths = [app_builds.rgb_file(one, tmp_path / f"{i}") for i, one in enumerate(shown)]
    ran = subprocess.run([program, model, *paths], capture_output=True, text=True, check=True)
    for path, one in zip(paths, shown, strict=True):
        wanted = PREPROCESSING.pixels(one)
        pixels = np.fromfile(f"{path}.pixels", np.uint8).reshape(wanted.shape)
        assert np.array_equal(pixels, wanted), path.name
    ours = classify(model, files, top=len(LABELS), effort=Effort(repeat=1))["photos"]
    lines = ran.stdout.splitlines()
    for line, answer in zip(lines, ours, strict=True):
        there = np.array(line.split(), float)
        here = np.zeros(len(LABELS))
        for place in answer["top"]:
            here[place["index"]] = place["probability"]
        assert there == pytest.approx(here, abs=1e-6)
