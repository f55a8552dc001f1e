"""NNCF on our float models: the same photos give the same integers, and nothing is reported."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from places import ROOT
from prerequisites import needs
from tiny_openvino import LABELS, PIXELS, RECORD, VNNI, float_graph

from edgekit.converters.openvino import file as openvino_file
from edgekit.converters.openvino.nncf import quantize_nncf
from edgekit.converters.openvino.write import convert, openvino, save
from edgekit.errors import MissingToolError, UsageError

pytestmark = needs("nncf")


def model(io="uint8"):
    return convert(float_graph(), io=io, preprocessing=RECORD)


def run(compiled, photos):
    return np.concatenate([compiled(photo[None])[0].copy() for photo in photos])


@pytest.mark.slow
def test_the_same_photos_give_the_same_file_in_any_batches(tmp_path):
    one = quantize_nncf(model(), [PIXELS])
    two = quantize_nncf(model(), [PIXELS[:5], PIXELS[5:]])
    for name, made in (("one", one), ("two", two)):
        save(made, tmp_path / f"{name}.xml")
    for suffix in (".xml", ".bin"):
        first, second = (tmp_path / (name + suffix) for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    read = openvino_file.read(tmp_path / "one.xml")
    assert (read.quantizer, read.labels) == ("nncf", LABELS)
    assert read.scheme == "w8a8-static"
    assert read.preprocessing == RECORD.of_input("uint8")


@pytest.mark.slow  # whole/test_files_of_targets has a build's
@pytest.mark.parametrize("fast", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_answers_stay_near_those_of_the_float_model(fast):
    source = model("float32")
    photos = np.ascontiguousarray(RECORD.normalize(PIXELS).transpose(0, 3, 1, 2))
    quantized = quantize_nncf(source, [photos], fast_bias_correction=fast)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    expected, got = (
        run(openvino().compile_model(one, "CPU", settings), photos) for one in (source, quantized)
    )
    # Few and random weights: another photo's answers are twice as far away.
    assert 0 < np.abs(got - expected).mean() < 0.5 * np.abs(np.roll(got, 1, 0) - expected).mean()


@pytest.mark.slow  # NNCF quantizes and measures again and again
@pytest.mark.skipif(not VNNI, reason="8-bit sums are not exact here")
def test_layers_go_back_to_float_until_the_drop_holds():
    """Labels are the float model's own answers: most of them are right then, and fewer without."""
    source = model()
    answers = run(openvino().compile_model(source, "CPU"), PIXELS).argmax(1)

    def right(quantized):
        return (run(openvino().compile_model(quantized, "CPU"), PIXELS).argmax(1) == answers).mean()

    kept = quantize_nncf(source, [PIXELS], max_drop=0, validate=[(PIXELS, answers)])
    assert right(quantize_nncf(source, [PIXELS])) < right(kept) > 0.9


@pytest.mark.parametrize(
    ("batches", "options", "said"),
    [
        ([], {}, "calibration photos"),
        ([PIXELS.astype(np.float32)], {}, "a photo is float32"),
        ([PIXELS[:, :16]], {}, r"a photo is uint8 \[16, 32, 3\]"),
        ([PIXELS], {"max_drop": 1.0}, "labelled photos"),
    ],
)
def test_what_cannot_be_quantized_is_refused(batches, options, said):
    with pytest.raises(UsageError, match=said):
        quantize_nncf(model(), batches, **options)


def test_without_nncf_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingToolError, match="nncf") as caught:
        quantize_nncf(model(), [PIXELS])
    assert caught.value.hint == 'pip install "edgekit[openvino]"'


@pytest.mark.slow  # NNCF's import again; that it imports is in every other test here
def test_nothing_is_reported_or_written_to_the_home_folder(tmp_path):
    """In a process of its own: pytest alone would keep NNCF's telemetry off."""
    code = (
        "import os; from edgekit.converters.openvino.nncf import nncf; nncf();"
        "from nncf.telemetry import wrapper; print(type(wrapper.telemetry).__name__);"
        "from openvino_telemetry import Telemetry; print(Telemetry().consent);"
        "print(os.environ.get('CI'), os.environ.get('NNCF_CI'))"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "NNCF_CI", "PYTHONPATH")}
    environment = {**kept, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["MagicMock", "False", "None", "None"]
    assert not any("intel" in path.name.lower() for path in tmp_path.iterdir())
