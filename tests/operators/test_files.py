"""What files with the operators of maps say of themselves, and which faults in them are named."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from every_scheme import in_every_scheme
from map_graphs import CASES, quantized
from prerequisites import needs

from edgekit.converters.tflite.checks import check_int8, check_mixed, too_new
from edgekit.converters.tflite.file import TFLiteModel, parse
from edgekit.converters.tflite.matching import find_differences, match
from edgekit.converters.tflite.scheme import scheme
from edgekit.converters.tflite.write import convert
from edgekit.errors import UsageError
from edgekit.networks.edit import up_to_logits
from edgekit.networks.graph import Graph
from edgekit.networks.quantization import float_nodes
from edgekit.networks.schemes import scheme_of, scheme_of_node
from edgekit.parity.integer_kernels import run_operator

NETWORKS = ("unet logits", "unet classes", "aspp logits", "aspp classes", "aspp classes-fused")


@functools.cache
def int8(name: str) -> Graph:
    return quantized(CASES[name]())


@functools.cache
def written(name: str) -> TFLiteModel:
    return parse(convert(int8(name), io="int8"))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("nearest to 33x24", 2),
        ("bilinear-corners to 33x24", 2),
        ("bilinear-half-pixel to 33x24", 3),
    ],
)
def test_versions_of_resizes(name, version):
    assert written(name).operators[-1].version == version
    (*_, last) = parse(convert(CASES[name]())).operators
    assert last.version == (3 if version == 3 else 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_says_its_scheme_and_breaks_no_rule(name):
    graph = int8(name)
    for one in in_every_scheme(graph, (graph.nodes[4].name,)):
        model = parse(one.contents)
        assert scheme(model) == ("mixed" if "mixed" in one.scheme else one.scheme)
        assert scheme_of(one.graph) == ("fp32" if one.scheme == "fp16" else one.scheme)
        assert list(too_new(model)) == []
        if one.scheme.startswith("w8a8"):
            check = check_mixed if "mixed" in one.scheme else check_int8
            assert {finding.rule for finding in check(model)} <= {"float-ends"}


@pytest.mark.parametrize("name", NETWORKS)
def test_classes_are_computed_in_the_scheme_of_the_logits(name):
    graph = int8(name)
    assert {scheme_of_node(graph, node) for node in graph.nodes} == {"w8a8-static"}
    bare = replace(graph, quant={})
    assert float_nodes(bare) == [node.name for node in graph.nodes]
    assert graph.classes == up_to_logits(graph).classes == (5 if "unet" in name else 7)


@needs("onnx")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_onnx_file_says_its_scheme(name, tmp_path):
    from edgekit.converters.onnx import file as onnx_file
    from edgekit.converters.onnx.write import convert as convert_onnx

    for graph, wanted in ((int8(name), "w8a8-static"), (CASES[name](), "fp32")):
        (tmp_path / "model.onnx").write_bytes(convert_onnx(graph))
        assert onnx_file.read(tmp_path / "model.onnx").scheme == wanted


def test_a_sum_of_many_classes_needs_more_than_a_byte():
    graph = CASES["aspp classes-fused"]()
    logits = graph.node(graph.nodes[-2].inputs[0])
    weights = dict(graph.weights)
    for part in ("kernel", "bias"):
        array = weights[f"{logits.name}/{part}"]
        weights[f"{logits.name}/{part}"] = np.concatenate([array] * 43, -1)
    many = replace(
        graph,
        nodes=tuple(replace(n, filters=301) if n is logits else n for n in graph.nodes),
        shapes={**graph.shapes, logits.name: (*graph.shapes[logits.name][:2], 301)},
        weights=weights,
    )
    model = parse(convert(many))
    assert model.tensors[model.outputs[0]].dtype == "int16"
    assert [op.version for op in model.operators[-2:]] == [1, 4]


def planted(model: TFLiteModel, kind: str, **options: object) -> TFLiteModel:
    """The file with other options of the last operator of a kind."""
    last = [op for op in model.operators if op.name == kind][-1]
    changed = replace(last, options={**last.options, **options})
    operators = tuple(changed if op is last else op for op in model.operators)
    return replace(model, operators=operators)


@pytest.mark.parametrize(
    ("operator", "options", "kind"),
    [
        ("CONV_2D", {"dilation_h_factor": 3, "dilation_w_factor": 3}, "dilation"),
        ("DEPTHWISE_CONV_2D", {"dilation_h_factor": 1, "dilation_w_factor": 1}, "dilation"),
        ("RESIZE_BILINEAR", {"align_corners": False}, "resize"),
        ("RESIZE_BILINEAR", {"half_pixel_centers": True}, "resize"),
        ("RESIZE_NEAREST_NEIGHBOR", {"half_pixel_centers": True}, "resize"),
    ],
)
def test_a_planted_option_is_found(operator, options, kind):
    graph, model = int8("aspp classes-fused"), written("aspp classes-fused")
    wrong = planted(model, operator, **options)
    found = find_differences(graph, wrong, match(graph, wrong))
    assert [difference.kind for difference in found] == [kind]


def with_scale(model: TFLiteModel, name: str, factor: float) -> TFLiteModel:
    tensors = tuple(
        replace(tensor, scales=(tensor.scales[0] * factor,)) if tensor.name == name else tensor
        for tensor in model.tensors
    )
    return replace(model, tensors=tensors)


def test_what_is_concatenated_must_have_one_scale():
    graph, model = int8("unet logits"), written("unet logits")
    (op, *_) = [op for op in model.operators if op.name == "CONCATENATION"]
    wrong = with_scale(model, model.tensors[op.inputs[0]].name, 1.5)
    assert "same-scale" in {finding.rule for finding in check_int8(wrong)}
    found = find_differences(graph, wrong, match(graph, wrong))
    assert [difference.kind for difference in found] == ["scale"]
    values = {i: np.zeros(wrong.tensors[i].shape, np.int8) for i in op.inputs}
    with pytest.raises(UsageError, match="inputs of other scales"):
        run_operator(wrong, op, values)


def test_a_resize_of_another_scale_is_found():
    model = written("aspp logits")
    last = [op for op in model.operators if op.name == "RESIZE_BILINEAR"][-1]
    wrong = with_scale(model, model.tensors[last.outputs[0]].name, 2.0)
    assert "same-scale" in {finding.rule for finding in check_int8(wrong)}
