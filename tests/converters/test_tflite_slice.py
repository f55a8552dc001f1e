"""An operator alone computes what it computes in its network."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tiny_tflite import TinyModel

from edgekit.converters.tflite_file import parse
from edgekit.converters.tflite_slice import Slicer
from edgekit.errors import UsageError
from edgekit.quiet import native_quiet


def interpreter(contents):
    with native_quiet():
        made = Interpreter(
            model_content=contents,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        made.allocate_tensors()
    return made


def test_each_operator_alone_gives_what_it_gave_in_the_network():
    contents = TinyModel().pack()
    model, slicer = parse(contents), Slicer(contents)
    whole = interpreter(contents)
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    whole.set_tensor(model.inputs[0], image)
    whole.invoke()
    assert len(slicer) == len(model.operators)
    for op in model.operators:
        alone = interpreter(slicer.cut(op.index))
        fed = [i for i in op.inputs if not model.tensors[i].is_constant]
        entries = alone.get_input_details()
        assert [entry["name"] for entry in entries] == [model.tensors[i].name for i in fed]
        for entry, index in zip(entries, fed, strict=True):
            alone.set_tensor(entry["index"], whole.get_tensor(index))
        alone.invoke()
        got = alone.get_tensor(alone.get_output_details()[0]["index"])
        np.testing.assert_array_equal(got, whole.get_tensor(op.outputs[0]), op.name)


def test_tensors_keep_their_quantization_and_constants():
    contents = TinyModel().pack()
    model = parse(contents)
    convolution = model.operators[1]
    part = parse(Slicer(contents).cut(1))
    (op,) = part.operators
    assert (op.name, op.version, op.fused_activation) == ("CONV_2D", 3, "RELU6")
    assert op.options == convolution.options
    ends = [*convolution.inputs, *convolution.outputs]
    for ours, theirs in zip([*op.inputs, *op.outputs], ends, strict=True):
        found, wanted = part.tensors[ours], model.tensors[theirs]
        assert (found.name, found.scales, found.zero_points, found.axis, found.dtype) == (
            (wanted.name, wanted.scales, wanted.zero_points, wanted.axis, wanted.dtype)
        )
        np.testing.assert_array_equal(found.data, wanted.data)


def test_an_absent_bias_stays_absent():
    tiny = TinyModel()
    tiny.op("CONV_2D").inputs[2] = -1
    part = parse(Slicer(tiny.pack()).cut(1))
    assert part.operators[0].inputs == (0, 1, -1)


def test_what_is_no_model_is_refused():
    with pytest.raises(UsageError):
        Slicer(b"nothing")
