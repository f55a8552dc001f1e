"""The OpenVINO runtime: what it feeds, what it gives back, and what it refuses."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from prerequisites import NEEDS
from tiny_openvino import CLASSES, PIXELS, RECORD, SIDE, float_graph, int8_graph, write

pytest.importorskip("openvino", reason=NEEDS["openvino"].reason)

from edgekit.errors import EdgekitError, MissingToolError, UsageError
from edgekit.networks.torch_network import Network
from edgekit.runtimes.base import measure
from edgekit.runtimes.open import open_classifier
from edgekit.runtimes.openvino import OpenVINO


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of small models by what they are."""
    folder = tmp_path_factory.mktemp("openvino")
    found = {
        f"{kind} {io}": write(folder / f"{kind}-{io}.xml", graph, io=io)
        for kind, graph in (("float", float_graph()), ("int8", int8_graph()))
        for io in ("uint8", "float32")
    }
    bare = found["float float32"]
    text = re.sub(r"<edgekit>.*?</edgekit>", "", bare.read_text(encoding="utf-8"), flags=re.DOTALL)
    (folder / "bare.xml").write_text(text, encoding="utf-8")
    (folder / "bare.bin").write_bytes(bare.with_suffix(".bin").read_bytes())
    return found | {"bare": folder / "bare.xml"}


@pytest.fixture(scope="module")
def expected():
    photos = torch.from_numpy(RECORD.normalize(PIXELS)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return Network(float_graph()).eval()(photos).numpy()


@pytest.mark.parametrize("kind", ["float uint8", "float float32", "int8 uint8", "int8 float32"])
def test_answers_are_those_of_the_network(files, expected, kind):
    got = OpenVINO(files[kind]).run(PIXELS)
    assert got.dtype == np.float32
    assert got.shape == (len(PIXELS), CLASSES)
    bound = 1e-4 if kind.startswith("float") else 0.5
    assert np.abs(got - expected).max() < bound * expected.std(0).max()


@pytest.mark.parametrize(
    ("kind", "dtype", "shape"),
    [
        ("int8 uint8", np.uint8, (1, SIDE, SIDE, 3)),
        ("float float32", np.float32, (1, 3, SIDE, SIDE)),
    ],
)
def test_it_is_a_classifier_that_can_be_measured(files, kind, dtype, shape):
    runtime = open_classifier(files[kind], threads=2)
    assert (runtime.path, runtime.side) == (files[kind], SIDE)
    assert re.fullmatch(r"OpenVINO \d+\.\d+\.\d+", runtime.runtime)
    fed = runtime.feed(PIXELS[0])
    assert (fed.dtype, fed.shape) == (dtype, shape)
    figures = measure(runtime, PIXELS[0], warm=5)
    assert figures["n"] == 5
    assert 0 < figures["p5"] <= figures["median"] <= figures["p95"]
    assert figures["init"] == pytest.approx(runtime.load_seconds * 1e3, abs=1e-3)


def test_a_file_without_record_is_fed_what_the_caller_says(files, expected):
    with pytest.raises(UsageError, match="normalised"):
        OpenVINO(files["bare"])
    got = OpenVINO(files["bare"], preprocessing=RECORD).run(PIXELS)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_the_record_of_the_file_goes_before_the_callers(files, expected):
    """The input of a quantized network has a normalization of its own."""
    wrong = replace(RECORD, mean=(0.0,) * 3)
    got = OpenVINO(files["float float32"], preprocessing=wrong).run(PIXELS)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_only_a_cache_that_was_asked_for_is_written(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beside = sorted(path.name for path in files["int8 uint8"].parent.iterdir())
    plain = OpenVINO(files["int8 uint8"]).run(PIXELS)
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        cached = OpenVINO(files["int8 uint8"], cache=tmp_path / "cache").run(PIXELS)
        np.testing.assert_array_equal(cached, plain)
    assert list((tmp_path / "cache").iterdir())
    assert sorted(path.name for path in files["int8 uint8"].parent.iterdir()) == beside


def test_auto_chooses_a_device_itself(files):
    runtime = OpenVINO(files["int8 uint8"], device="AUTO")
    assert runtime.runtime.endswith(" AUTO")
    assert runtime.run(PIXELS[:1]).shape == (1, CLASSES)


def test_a_device_that_is_not_there_is_refused(files):
    with pytest.raises(UsageError, match="no device 'TPU'") as caught:
        OpenVINO(files["int8 uint8"], device="TPU")
    assert "CPU" in caught.value.cause


@pytest.mark.parametrize("photo", [PIXELS[0, :-1], PIXELS[0].astype(np.float32), PIXELS[:1]])
def test_other_pixels_are_refused(files, photo):
    with pytest.raises(UsageError, match="takes uint8 pixels"):
        OpenVINO(files["int8 uint8"]).feed(photo)


@pytest.fixture
def changed(files, tmp_path):
    """Copies a model with a word of its XML changed."""

    def make(old, new):
        source = files["int8 uint8"]
        text = source.read_text(encoding="utf-8")
        assert old in text
        (tmp_path / "m.xml").write_text(text.replace(old, new, 1), encoding="utf-8")
        (tmp_path / "m.bin").write_bytes(source.with_suffix(".bin").read_bytes())
        return tmp_path / "m.xml"

    return make


def test_what_openvino_shall_not_see_is_refused(changed):
    with pytest.raises(UsageError, match="not an image classifier") as caught:
        OpenVINO(changed('type="Clamp"', 'type="Loop"'))
    assert "control flow" in str(caught.value.cause) or "networks inside" in str(caught.value.cause)


def test_what_openvino_cannot_compile_is_an_error_of_ours(changed):
    with pytest.raises(EdgekitError, match="OpenVINO cannot run"):
        OpenVINO(changed('type="Clamp"', 'type="Champ"'))


def test_no_threads_are_refused(files):
    with pytest.raises(UsageError, match="0 threads"):
        OpenVINO(files["int8 uint8"], threads=0)


def test_without_openvino_it_says_what_to_install(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingToolError) as caught:
        open_classifier(files["int8 uint8"])
    assert caught.value.hint == 'pip install "edgekit[openvino]"'
