"""An operator alone computes what it computes in its network."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tiny_tflite import TinyModel

from edgekit.converters.tflite.file import parse
from edgekit.converters.tflite.slice import Slicer
from edgekit.errors import UsageError
from edgekit.system.quiet import native_quiet


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


def test_each_prefix_gives_what_the_network_gave():
    contents = TinyModel().pack()
    model, slicer = parse(contents), Slicer(contents)
    whole = interpreter(contents)
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    whole.set_tensor(model.inputs[0], image)
    whole.invoke()
    sizes = []
    for count in range(1, len(slicer) + 1):
        data = slicer.prefix(count)
        sizes.append(len(data))
        part = parse(data)
        assert [op.name for op in part.operators] == [op.name for op in model.operators[:count]]
        alone = interpreter(data)
        (entry,) = alone.get_input_details()
        alone.set_tensor(entry["index"], image)
        alone.invoke()
        (end,) = alone.get_output_details()
        wanted = model.operators[count - 1].outputs[0]
        assert end["name"] == model.tensors[wanted].name
        np.testing.assert_array_equal(alone.get_tensor(end["index"]), whole.get_tensor(wanted))
    assert sizes == sorted(sizes)  # no constant that is not needed
    assert sizes[0] < len(contents) / 4


def test_outputs_of_a_prefix_are_what_nothing_in_it_reads():
    tiny = TinyModel()  # with a second branch from `depth`, whose end nothing reads yet
    tiny.add("side", [1, 4, 4, 8], "INT8", 1 / 256, -128)
    tiny.add_op("LOGISTIC", 2, ["depth"], "side")
    tiny.graph.operators.insert(3, tiny.graph.operators.pop())
    part = parse(Slicer(tiny.pack()).prefix(5))
    assert [part.tensors[i].name for i in part.outputs] == ["side", "gate"]


def test_a_prefix_keeps_an_absent_bias_absent_and_a_shared_constant_single():
    tiny = TinyModel()
    tiny.op("CONV_2D").inputs[2] = -1
    tiny.tensor("depth_b").buffer = tiny.tensor("stem_b").buffer
    slicer = Slicer(tiny.pack())
    assert parse(slicer.prefix(2)).operators[1].inputs[2] == -1
    tiny.op("CONV_2D").inputs[2] = tiny.index("stem_b")
    shared = Slicer(tiny.pack()).prefix(3)
    tiny.data("depth_b", np.arange(8, dtype=np.int32))
    assert len(shared) < len(Slicer(tiny.pack()).prefix(3))


def test_a_model_of_several_graphs_has_no_prefix():
    tiny = TinyModel()
    tiny.model.subgraphs.append(tiny.graph)
    with pytest.raises(UsageError, match="cannot be cut"):
        Slicer(tiny.pack()).prefix(2)


def test_what_leads_to_an_operator_gives_what_the_network_gave():
    contents = TinyModel().pack()
    model, slicer = parse(contents), Slicer(contents)
    whole = interpreter(contents)
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    whole.set_tensor(model.inputs[0], image)
    whole.invoke()
    for op in model.operators:
        part = slicer.ending_at(op.index)
        path = interpreter(part)
        path.set_tensor(path.get_input_details()[0]["index"], image)
        path.invoke()
        (output,) = path.get_output_details()
        assert output["name"] == model.tensors[op.outputs[0]].name
        got = path.get_tensor(output["index"])
        np.testing.assert_array_equal(got, whole.get_tensor(op.outputs[0]), op.name)
        assert len(parse(part).operators) == op.index + 1  # of a chain, all


def test_what_does_not_lead_to_an_operator_is_left_out():
    tiny = TinyModel()
    tiny.graph.operators.insert(4, tiny.graph.operators.pop(3))  # nothing but the order
    tiny.graph.operators[3].inputs = [tiny.index("depth"), tiny.index("depth")]
    contents = tiny.pack()
    names = [op.name for op in parse(Slicer(contents).ending_at(5)).operators]
    assert names == ["QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "MUL", "MEAN"]
