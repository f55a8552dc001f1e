from __future__ import annotations

import json

import numpy as np
import pytest
from map_files import LABELS, SIDE, contents, photo, preprocessing, write_map_file
from PIL import Image

from edgekit.cli import run
from edgekit.data.palette import class_colors
from edgekit.errors import UsageError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.measure.isolated import Effort
from edgekit.targets.segment import segment, shares
from edgekit.tasks.segmentation.overlay import draw

ONCE = Effort(repeat=1)
KINDS = [("unet", "logits"), ("unet", "classes"), ("aspp", "classes-fused")]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "street.png"
    Image.fromarray(photo()).save(path)
    return path


def expected_map(path, pixels, how) -> np.ndarray:
    """The classes on the photo, by the runtime and numpy alone."""
    answer = LiteRT(path).run(how.pixels(Image.fromarray(pixels))[None])[0]
    small = answer if answer.ndim == 2 else answer.argmax(-1)
    if answer.ndim == 3 and answer.shape[2] == 1:
        small = answer[..., 0]
    return how.place(pixels.shape[1::-1]).restore(small.astype(np.uint8))


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize(("network", "output"), KINDS)
def test_the_classes_are_back_on_the_photo_whatever_the_file_ends_with(
    tmp_path, picture, network, output, fit
):
    path = write_map_file(tmp_path / "m.tflite", network, output, fit=fit)
    drawn, mask = tmp_path / "drawn.png", tmp_path / "mask.png"
    found = segment(path, [picture], out=drawn, mask=mask, effort=ONCE)
    wanted = expected_map(path, photo(), preprocessing(network, fit))
    with Image.open(mask) as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image), wanted)
        assert image.getpalette()[:9] == class_colors(3).ravel().tolist()
    with Image.open(drawn) as image:
        assert np.array_equal(np.array(image), draw(photo(), wanted))
    (answer,) = found["photos"]
    assert sum(one["share"] for one in answer["classes"]) == pytest.approx(1)
    inside = wanted[wanted != 255]
    for one in answer["classes"]:
        assert one["share"] == pytest.approx((inside == one["index"]).mean())
        assert one["label"] == LABELS[network][one["index"]]
    assert (255 in wanted) == (fit == "crop")
    assert found["output"] == ("logits" if output == "logits" else "classes")


def test_run_draws_beside_the_caller_and_prints_shares(tmp_path, picture, capsys, monkeypatch):
    path = write_map_file(tmp_path / "m.tflite")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(["run", str(path), str(picture), "--repeat", "1"]) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "here/street-classes.png").is_file()
    assert "drawn: street-classes.png" in out
    lines = out.splitlines()
    assert lines[0] == str(picture)
    share, name = lines[1].split()
    assert name in LABELS["unet"]
    assert 0 < float(share.rstrip("%")) <= 100
    assert "latency in ms" in out


def test_run_takes_a_run_and_writes_json(tmp_path, picture, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    write_map_file(folder / "net-w8a8-static.tflite")
    report = {"model": "net", "files": [{"path": "net-w8a8-static.tflite"}], "data": {}}
    (folder / "report.json").write_text(json.dumps(report))
    arguments = ["run", str(folder), str(picture), "-o", str(tmp_path / "o.png"), "--json"]
    assert run([*arguments, "--repeat", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "segmentation"
    assert found["path"].endswith("net-w8a8-static.tflite")
    assert found["photos"][0]["drawn"] == str(tmp_path / "o.png")


def test_a_file_without_words_of_its_own_is_known_by_its_map(tmp_path, picture, capsys):
    from map_files import graph_of

    from edgekit.converters.tflite.write import convert

    path = tmp_path / "foreign.tflite"
    path.write_bytes(convert(graph_of(), io="uint8"))
    arguments = ["run", str(path), str(picture), "-o", str(tmp_path), "--json", "--repeat", "1"]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["label"] for one in found["photos"][0]["classes"]} == {None}
    # It was stretched: every pixel has a class, and the mask is that of the stretched photo.
    with Image.open(tmp_path / "street-classes.png") as image:
        wanted = expected_map(path, photo(), preprocessing(fit="stretch"))
        assert np.array_equal(np.array(image), draw(photo(), wanted))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"out": "street.png"}, "overwritten"),
        ({"out": "o.jpg"}, "no name for a picture"),
        ({"mask": "missing/o.png"}, "cannot be written"),
    ],
)
def test_where_nothing_can_be_drawn_is_said(tmp_path, picture, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)  # where a drawing is without --out
    path = write_map_file(tmp_path / "m.tflite")
    with pytest.raises(UsageError, match=says):
        segment(path, [picture], effort=ONCE, **{key: tmp_path / v for key, v in options.items()})
    assert np.array_equal(np.array(Image.open(picture)), photo())


def test_several_photos_need_a_folder(tmp_path, picture):
    path = write_map_file(tmp_path / "m.tflite")
    other = tmp_path / "other.png"
    Image.fromarray(photo(24, 24, 5)).save(other)
    with pytest.raises(UsageError, match="no folder"):
        segment(path, [picture, other], out=tmp_path / "o.png", effort=ONCE)
    (tmp_path / "o").mkdir()
    segment(path, [picture, other], out=tmp_path / "o", effort=ONCE)
    assert {p.name for p in (tmp_path / "o").iterdir()} == {
        "street-classes.png",
        "other-classes.png",
    }


def test_a_classifier_is_not_drawn(tmp_path, picture, capsys):
    from tiny_tflite import TinyModel

    path = tmp_path / "c.tflite"
    path.write_bytes(TinyModel().pack())
    assert run(["run", str(path), str(picture), "-o", str(tmp_path / "o.png")]) == 2
    assert "--out is for segmenters and detectors" in capsys.readouterr().err
    assert run(["run", str(path), str(picture), "--repeat", "1"]) == 0
    with pytest.raises(UsageError, match="no segmenter"):
        segment(path, [picture], effort=ONCE)


def test_shares_are_of_the_pixels_that_have_a_class():
    found = shares(np.array([[0, 2], [2, 255]], np.uint8), ["a", "b"])
    assert [(one["index"], one["label"]) for one in found] == [(2, None), (0, "a")]
    assert [one["share"] for one in found] == pytest.approx([2 / 3, 1 / 3])
    assert shares(np.full((2, 2), 255, np.uint8), []) == []


def test_the_map_of_a_file_is_no_larger_than_its_photo():
    from edgekit.converters.segmenter import tflite_map
    from edgekit.converters.tflite import file as tflite_file
    from edgekit.converters.tflite.metadata import read_metadata

    data = contents("aspp", "logits")
    found = tflite_map(tflite_file.parse(data), read_metadata(data))
    assert (found.height, found.width, found.classes, found.kind) == (SIDE, SIDE, 7, "logits")
