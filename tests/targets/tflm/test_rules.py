import pytest
from foreign_files import FOREIGN, custom
from stand_in import compiled_model
from tiny_tflite import TinyModel, edit, float_io, with_op

from edgekit.converters.tflite.file import parse, read
from edgekit.targets.tflm.rules import check


def found(tiny: TinyModel) -> list[tuple[str, str, str]]:
    return [(f.severity, f.rule, f.where) for f in check(parse(tiny.pack()))]


def test_a_file_of_ours_breaks_no_rule():
    assert found(TinyModel()) == []


def test_an_operator_that_it_lacks_is_an_error_with_a_way_out():
    tiny = with_op("GELU", [1, 4], [1, 4])
    tiny.add_op("GELU", 1, ["from"], "to")
    (finding,) = check(parse(tiny.pack()))
    assert (finding.severity, finding.rule, finding.where) == ("error", "resolver", "8 GELU")
    assert finding.message.endswith("the operator, here and 1 times more")
    assert "edgekit build" in finding.fix


def test_a_custom_operator_that_it_lacks_is_an_error():
    findings = check(parse(custom("some-custom-op").pack()))
    assert ("resolver", "error") in [(f.rule, f.severity) for f in findings]
    assert any("no resolver of TFLite Micro has the custom operator" in f.message for f in findings)


def test_float_ends_are_a_warning():
    assert {(s, rule) for s, rule, _ in found(float_io())} == {("warning", "float-ends")}


def test_versions_of_operators_do_not_matter():
    assert found(edit(lambda tiny: setattr(tiny.code("CONV_2D"), "version", 9))) == []


def test_a_scale_that_its_kernel_does_not_take_is_an_error():
    def narrow(tiny: TinyModel) -> None:
        tiny.tensor("gate").quantization.scale = [1 / 255]

    assert found(edit(narrow)) == [("error", "fixed-scale", "3 LOGISTIC")]


@pytest.mark.parametrize("name", ["tf_16x8", "aeq_weight_only_wi8_afp32"])
def test_another_scheme_is_one_error_and_not_one_for_each_tensor(name):
    findings = check(read(FOREIGN / f"{name}.tflite"))
    assert [f.rule for f in findings if f.rule not in ("resolver",)] == ["scheme"]


def test_a_compiled_file_is_an_error_that_names_the_operator():
    findings = check(parse(compiled_model()))
    assert any(f.severity == "error" and "edgetpu-custom-op" in str(f) for f in findings)
