"""Names of variables in TensorFlow 2 checkpoints, which store them by the attributes of objects.

Source: tensorflow, ``core/protobuf/trackable_object_graph.proto``. The graph of objects beside the
values has every variable's own name, which for one code is that of its TensorFlow 1 checkpoints.
Optimizers' slots stand at the variable that they belong to; a moving average is one of them.
"""

from __future__ import annotations

from collections import Counter

from edgekit.system.extras import import_optional

#: The tensor that holds the graph of objects.
OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
#: What TensorFlow 1 calls the slots of averages and of momentum, by their names in TensorFlow 2.
SLOTS = {"average": "ExponentialMovingAverage", "momentum": "Momentum"}


def variable_names(serialized: bytes) -> dict[str, str]:
    """Keys of a checkpoint's values, by the names of their variables.

    Variables whose name several have are called by their keys.

    Args:
        serialized: the value of `OBJECTS`.

    Raises:
        google.protobuf.message.DecodeError: it is no graph of objects.
        MissingToolError: TensorFlow is not installed.
    """
    protos = import_optional(
        "tensorflow.core.protobuf.trackable_object_graph_pb2",
        "tensorflow",
        "a TensorFlow 2 checkpoint",
    )
    graph = protos.TrackableObjectGraph()
    graph.ParseFromString(serialized)
    keys: dict[int, tuple[str, str]] = {}  # name and key, by the number of the node
    for number, node in enumerate(graph.nodes):
        for attribute in node.attributes:
            keys[number] = attribute.full_name or attribute.checkpoint_key, attribute.checkpoint_key
    for node in graph.nodes:
        for slot in node.slot_variables:
            owner, own = slot.original_variable_node_id, slot.slot_variable_node_id
            if owner in keys and own in keys:
                kind = SLOTS.get(slot.slot_name, slot.slot_name)
                keys[own] = f"{keys[owner][0]}/{kind}", keys[own][1]
    times = Counter(name for name, _ in keys.values())
    return {name if times[name] == 1 else key: key for name, key in keys.values()}
