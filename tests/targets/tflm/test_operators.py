from tiny_tflite import TinyModel

from edgekit.converters.tflite.file import parse, schema
from edgekit.targets.tflm.operators import BUILTINS, CUSTOMS, registration, registrations


def test_the_table_has_names_of_the_schema_and_each_method_once():
    known = vars(schema().BuiltinOperator).keys()
    assert BUILTINS.keys() <= known
    methods = [*BUILTINS.values(), *CUSTOMS.values()]
    assert len(set(methods)) == len(methods)
    assert all(method.startswith("Add") for method in methods)


def test_each_kind_of_operator_is_registered_once():
    assert registrations(parse(TinyModel().pack())) == (
        "AddConv2D",
        "AddDepthwiseConv2D",
        "AddFullyConnected",
        "AddLogistic",
        "AddMean",
        "AddMul",
        "AddQuantize",
    )


def test_a_custom_operator_is_found_by_its_code_alone():
    assert registration("SignalWindow", is_custom=True) == "AddWindow"
    assert registration("SignalWindow", is_custom=False) is None
    assert registration("ADD", is_custom=True) is None
