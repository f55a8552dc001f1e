"""Checkpoints that store variables by the attributes of objects."""

import numpy as np
import pytest
from google_detectors import network, variables
from narrow import narrow
from prerequisites import needs
from state_dicts import assert_same

from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.open import open_weights
from edgekit.converters.weights.tf2 import variable_names
from edgekit.errors import UsageError

pytestmark = needs("tensorflow")


@pytest.fixture
def save(tmp_path):
    import tensorflow as tf

    class Holder(tf.Module):
        def __init__(self, values):
            super().__init__()
            self.held = [tf.Variable(value, name=name) for name, value in values]

    def write(*values):
        return tf.train.Checkpoint(model=Holder(values)).write(str(tmp_path / "ckpt-1"))

    return write


def test_variables_have_their_own_names(save):
    path = save(("a/kernel", np.ones((2, 3), np.float32)), ("b/gamma", np.zeros(4, np.float32)))
    with open_weights(path, limit=10**6) as file:
        assert file.shapes == {"a/kernel": (2, 3), "b/gamma": (4,)}
        np.testing.assert_array_equal(file.read("a/kernel"), np.ones((2, 3)))


def test_a_detector_of_googles_code_comes_back(save):
    spec, graph = network()
    loaded = load_weights(save(*variables(graph).items()), spec, resolution=32)
    assert loaded.source == "automl"
    assert_same(loaded.graph, graph)


def test_names_that_several_have_are_their_keys(save):
    path = save(("v", np.zeros(1, np.float32)), ("v", np.ones(2, np.float32)))
    with open_weights(path, limit=10**6) as file:
        assert sorted(file.shapes.values()) == [(1,), (2,)]
        assert all(name.endswith("/.ATTRIBUTES/VARIABLE_VALUE") for name in file.shapes)
    with pytest.raises(UsageError, match="is not known"):
        load_weights(path, narrow("b0"))


def test_slots_stand_at_their_variable_as_in_tensorflow_1():
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    graph = TrackableObjectGraph()
    for name, key in (("w", "0"), ("Adam/w/avg", "1"), ("SGD/w/m", "2"), ("", "3")):
        node = graph.nodes.add()
        node.attributes.add(name="VARIABLE_VALUE", full_name=name, checkpoint_key=key)
    optimizer = graph.nodes.add()
    for slot, number in (("average", 1), ("momentum", 2), ("other", 9)):
        optimizer.slot_variables.add(
            original_variable_node_id=0, slot_name=slot, slot_variable_node_id=number
        )
    assert variable_names(graph.SerializeToString()) == {
        "w": "0",
        "w/ExponentialMovingAverage": "1",
        "w/Momentum": "2",
        "3": "3",
    }
