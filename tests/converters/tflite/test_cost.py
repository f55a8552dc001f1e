from __future__ import annotations

import numpy as np
import pytest
from tiny_tflite import TinyModel, with_op

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.cost import activation_bytes, macs, parameter_bytes


def last(tiny: TinyModel):
    model = tflite_file.parse(tiny.pack())
    return model, model.operators[-1]


@pytest.mark.parametrize(
    ("index", "expected"), [(0, 0), (1, 16 * 8 * 27), (2, 16 * 8 * 9), (4, 0), (6, 5 * 8)]
)
def test_macs_of_each_kind(index, expected):
    model = tflite_file.parse(TinyModel().pack())
    assert macs(model, model.operators[index]) == expected


def test_macs_of_a_transposed_convolution():
    weights = np.ones((6, 2, 2, 8), np.int8)
    tiny = with_op("TRANSPOSE_CONV", [1, 4, 4, 8], [1, 8, 8, 6], constants=[[1, 8, 8, 6], weights])
    tiny.graph.operators[-1].inputs = [
        tiny.index(name) for name in ("constant0", "constant1", "from")
    ]
    assert macs(*last(tiny)) == 16 * 8 * 6 * 4


def test_a_sum_of_constants_counts_each_once():
    values = np.ones(4, np.int8)
    model, op = last(with_op("ADD", [4], [4], constants=[values]))
    assert parameter_bytes(model, op) == 4


def test_open_sizes_count_as_one():
    tiny = TinyModel()
    tiny.tensor("image").shape = [-1, 8, 8, 3]
    model = tflite_file.parse(tiny.pack())
    assert activation_bytes(model.tensors[model.inputs[0]]) == 8 * 8 * 3


def test_types_without_a_size_count_as_nothing():
    tiny = TinyModel()
    tiny.tensor("image").type = 5  # a string
    model = tflite_file.parse(tiny.pack())
    assert activation_bytes(model.tensors[model.inputs[0]]) == 0
