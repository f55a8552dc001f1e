"""The code in the report classifies as edgekit itself does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detector_files import LABELS as SHAPES
from detector_files import record, write_detector_file
from map_files import photo
from PIL import Image, ImageOps
from places import SHARED
from prerequisites import needs

from edgekit.data.placement import FITS
from edgekit.data.preprocessing import Preprocessing
from edgekit.report import Document, write_json
from edgekit.report.snippet import python_snippet
from edgekit.runs import model_file
from edgekit.runtimes.litert import LiteRT

FLOWERS = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
FOREIGN = SHARED / "weights" / "flowers_lite0_model_maker.tflite"
PHOTOS = SHARED / "data" / "flowers" / "val"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a-fp32.tflite", "a-w8a8.tflite", "a-w8a8_edgetpu.tflite"], "a-w8a8.tflite"),
        (["lite0.int8.tflite", "lite0.tflite"], "lite0.int8.tflite"),
        (["point8.tflite"], "point8.tflite"),
        (["x_edgetpu.tflite"], "x_edgetpu.tflite"),
        (["manifest.json"], None),
    ],
)
def test_model_file(paths: list[str], expected: str | None) -> None:
    assert model_file(paths) == expected


def test_no_model_no_snippet(document: Document) -> None:
    document["files"] = []
    assert python_snippet(document) is None


@pytest.mark.parametrize("count", [2, 1000])
def test_is_python_whatever_the_labels(document: Document, count: int) -> None:
    document["data"]["labels"] = [f"it's {{{i}}} \"\n\\" for i in range(count)]
    snippet = python_snippet(document)
    assert snippet
    compile(snippet, "snippet", "exec")
    assert ("report.json" in snippet) == (count > 20)
    assert max(map(len, snippet.splitlines())) < 200


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("crop", "interpolation"), [(0.875, "bicubic"), (1.0, "bilinear")])
def test_sees_the_same_pixels(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    document: Document,
    crop: float,
    interpolation: str,
    fit: str,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3)).astype(np.uint8)
    photo = Image.fromarray(noise).resize((332, 244))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    photo.save(tmp_path / "photo.jpg", exif=exif)
    document["preprocessing"].update(crop_fraction=crop, interpolation=interpolation, fit=fit)
    snippet = python_snippet(document)
    assert snippet
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(snippet.partition("\nmodel =")[0], names)  # noqa: S102 - the text under test
    upright = ImageOps.exif_transpose(Image.open("photo.jpg"))
    record = Preprocessing.from_dict(document["preprocessing"])
    np.testing.assert_array_equal(names["pixels"], record.pixels(upright))
    assert names["LABELS"] == document["data"]["labels"]


@needs("shared", FOREIGN.exists())
def test_runs_and_agrees_with_the_pipeline(tmp_path: Path, document: Document) -> None:
    from ai_edge_litert.interpreter import Interpreter

    record = Preprocessing.from_dict(document["preprocessing"])
    (tmp_path / "lite0-w8a8.tflite").symlink_to(FOREIGN)
    snippet = python_snippet(document)
    assert snippet
    model = Interpreter(str(FOREIGN))
    model.allocate_tensors()
    source, sink = model.get_input_details()[0], model.get_output_details()[0]
    for label in ("roses", "sunflowers"):
        photo = sorted((PHOTOS / label).iterdir())[0]
        (tmp_path / "photo.jpg").unlink(missing_ok=True)
        (tmp_path / "photo.jpg").symlink_to(photo)
        told = subprocess.run(
            [sys.executable, "-c", snippet],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        model.set_tensor(source["index"], record.pixels(Image.open(photo))[np.newaxis])
        model.invoke()
        answer = int(model.get_tensor(sink["index"])[0].argmax())
        assert told == document["data"]["labels"][answer] == label


@pytest.mark.parametrize("output", ["logits", "detections"])
def test_a_detectors_outputs_are_all_read(tmp_path: Path, document: Document, output: str) -> None:
    kind = "raw" if output == "logits" else output
    path = write_detector_file(tmp_path / "lite0-w8a8.tflite", kind)
    document["preprocessing"] = record().to_dict()
    document["data"]["labels"] = list(SHAPES)
    document["output"] = output
    Image.fromarray(photo()).save(tmp_path / "photo.jpg", quality=100)
    snippet = python_snippet(document)
    assert snippet
    told = subprocess.run(
        [sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    with Image.open(tmp_path / "photo.jpg") as image:
        answer = LiteRT(path).run(record().pixels(image)[None])[0]
    if kind == "raw":
        best = answer[:, 4:].max(axis=1)
        wanted = [SHAPES[answer[k, 4:].argmax()] for k in best.argsort()[::-1][:5]]
        assert float(told[0].split()[1]) == pytest.approx(best.max(), abs=1e-4)
    else:
        wanted = [SHAPES[int(row[5])] for row in answer if row[4] > 0]
    assert [line.split()[0] for line in told] == wanted


@pytest.mark.parametrize("output", ["logits", "embedding"])
def test_trained_weights_run_where_there_is_no_other_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trained: Document,
    output: str,
) -> None:
    from edgekit.networks.efficientnet.architecture import build_graph
    from edgekit.networks.efficientnet.spec import SPECS
    from edgekit.networks.predict import to_input
    from edgekit.networks.torch_network import Network

    monkeypatch.chdir(tmp_path)
    trained["preprocessing"]["resolution"] = 32
    trained["output"] = output
    write_json(trained, Path("report.json"))
    graph = build_graph(SPECS["lite0"], classes=5, resolution=32)
    graph.save(Path("lite0.graph"))
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((332, 244)).save("photo.jpg")
    snippet = python_snippet(trained)
    assert snippet
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - the text under test
    record = Preprocessing.from_dict(trained["preprocessing"])
    pixels = record.pixels(Image.open("photo.jpg"))[np.newaxis]
    scores = Network(graph).eval()(to_input(pixels, record, "cpu"))[0].detach().numpy()
    np.testing.assert_allclose(names["scores"], scores, rtol=1e-4, atol=1e-5)
    told = capsys.readouterr().out
    assert told.startswith("[" if output == "embedding" else FLOWERS[scores.argmax()])
