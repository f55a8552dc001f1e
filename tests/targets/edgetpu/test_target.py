from __future__ import annotations

import pytest
from edgetpu_packages import compiled
from tiny_tflite import TinyModel

from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import UsageError
from edgekit.targets.edgetpu import rules
from edgekit.targets.edgetpu.target import EdgeTPUTarget


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    return path


def test_an_examination_parses_a_file_and_asks_each_operator_once(path, monkeypatch):
    parsed, asked = [], []
    parse, why_not = tflite_file.parse, rules.why_not
    monkeypatch.setattr(tflite_file, "parse", lambda *a, **k: parsed.append(a) or parse(*a, **k))
    monkeypatch.setattr(rules, "why_not", lambda *a: asked.append(a) or why_not(*a))
    examined = EdgeTPUTarget().examine(path)
    assert (len(parsed), len(asked)) == (1, len(examined.model.operators))
    assert examined.prediction.mapped == len(examined.model.operators)
    assert examined.refusals == ()


def test_a_file_that_has_been_read_is_not_read_again(path):
    model = tflite_file.read(path)
    path.unlink()
    assert EdgeTPUTarget().examine(path, model).model is model


def test_a_compiled_file_is_not_examined(path):
    path.write_bytes(compiled().pack())
    with pytest.raises(UsageError, match="compiled for the Edge TPU already"):
        EdgeTPUTarget().examine(path)


def test_the_source_of_a_compiled_file_is_beside_it(path):
    made = path.with_name("tiny_edgetpu.tflite")
    assert EdgeTPUTarget().source_of(made) == path
    assert EdgeTPUTarget().source_of(path) is None
    path.unlink()
    assert EdgeTPUTarget().source_of(made) is None
