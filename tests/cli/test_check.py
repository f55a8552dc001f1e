from __future__ import annotations

import json

import pytest
from foreign_files import FOREIGN
from tiny_tflite import TinyModel, edit, float_io, with_op

from edgekit.cli import run


@pytest.fixture
def save(tmp_path):
    def write(tiny: TinyModel) -> str:
        path = tmp_path / "model.tflite"
        path.write_bytes(tiny.pack())
        return str(path)

    return write


def test_a_good_file(save, capsys):
    assert run(["check", save(TinyModel()), "--min-mapped", "100"]) == 0
    shown = capsys.readouterr().out
    assert "CONV_2D                        1          Mapped to Edge TPU" in shown
    assert "mapped       8 of 8 operators (100.0 %), 100.0 % of the MACs" in shown
    assert "nothing in it breaks a rule" in shown


def test_what_is_left_out_has_its_reason_and_remedy(save, capsys):
    assert run(["check", save(with_op("HARD_SWISH", [8], [8]))]) == 0
    shown = capsys.readouterr().out
    assert "HARD_SWISH                     1          Operation not supported" in shown
    assert "blocking     8 HARD_SWISH" in shown
    assert "train with relu6" in shown


def test_what_counts_as_mapped_without_evidence_is_listed(save, capsys):
    tiny = with_op("DIV", [8], [8])
    assert run(["check", save(tiny), "--min-mapped", "100"]) == 0
    shown = capsys.readouterr().out
    assert "not seen     1 operator counts as mapped; no compiled file or log shows it" in shown
    assert "  1 x DIV: not seen: no compiled file or log with DIV is known" in shown


def test_every_operator_on_request(save, capsys):
    assert run(["check", save(TinyModel()), "--operators"]) == 0
    shown = capsys.readouterr().out
    listed = [line.split()[:2] for line in shown.splitlines()[4:12]]
    assert [int(index) for index, _ in listed] == list(range(8))
    assert [name for _, name in listed][:3] == ["QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D"]


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (float_io(), "0 QUANTIZE: tensor 'image' is float32"),
        (edit(lambda t: setattr(t.tensor("image"), "shape", [8, 8, 8, 3])), "its batch is 8"),
    ],
)
def test_the_gate_ends_with_5_and_names_the_cause(save, capsys, tiny, says):
    assert run(["check", save(tiny), "--min-mapped", "90"]) == 5
    shown = capsys.readouterr().err
    assert "% of the operators are mapped, not 90 %" in shown
    assert says in shown


def test_json(save, capsys):
    path = save(TinyModel())
    assert run(["check", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["path"], document["target"]) == (path, "edgetpu")
    assert document["operators_on_tpu"] == document["operators_total"] == 8
    assert document["findings"] == []


def test_a_target_without_an_accelerator(save, capsys):
    assert run(["check", save(TinyModel()), "--target", "tflite"]) == 0
    assert "for tflite" in capsys.readouterr().out
    assert run(["check", save(TinyModel()), "--target", "tflite", "--min-mapped", "1"]) == 2


def test_a_compiled_file_is_for_inspect(save, capsys):
    tiny = TinyModel()
    tiny.add_op("CUSTOM", 1, ["image"], "scores")
    tiny.model.operatorCodes[-1].customCode = b"edgetpu-custom-op"
    assert run(["check", save(tiny)]) == 2
    assert "edgekit inspect" in capsys.readouterr().err


def test_no_file(tmp_path):
    assert run(["check", str(tmp_path / "none.tflite")]) == 2


@pytest.mark.parametrize(
    ("target", "advice"),
    [("edgetpu", "Model not quantized"), ("tflite", "convert with TFLITE_BUILTINS_INT8")],
)
def test_16_bit_activations_are_named(capsys, target, advice):
    assert run(["check", str(FOREIGN / "tf_16x8.tflite"), "--target", target]) == 0
    shown = capsys.readouterr().out
    first = f"for {target}: w8a16-static (int8 weights, int16 activations)"
    assert shown.splitlines()[0].endswith(first)
    assert advice in shown
