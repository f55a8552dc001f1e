"""Writes a Graph down as another library would, so that it can be read back."""

import h5py
import numpy as np

from edgekit.networks.nodes import DepthwiseConv2D


def to_torch(graph, names):
    """A state dict in torch's layouts, with the counters that torch keeps."""
    state = {}
    for key, theirs in names.of(graph).items():
        array = graph.weights[key]
        if key.endswith("/kernel"):
            axes = {4: (3, 2, 0, 1), 3: (2, 0, 1), 2: (1, 0)}[array.ndim]
            array = array.transpose(axes)
            array = array[:, None] if array.ndim == 3 else array
        state[theirs] = np.ascontiguousarray(array)
        if theirs.endswith("running_mean"):
            state[theirs.replace("running_mean", "num_batches_tracked")] = np.array(7)
    return state


def to_tensorflow(graph, table):
    """Variables in TensorFlow's layouts, by a table of our names to theirs."""
    depthwise = {f"{n.name}/kernel" for n in graph.nodes if isinstance(n, DepthwiseConv2D)}
    return {
        theirs: graph.weights[key][..., None] if key in depthwise else graph.weights[key]
        for key, theirs in table.items()
    }


def write_hdf5(path, variables):
    """Writes variables as Keras 2 did: a group per layer, whose attribute lists its weights."""
    layers = {}
    for name, array in variables.items():
        layers.setdefault(name.split("/")[0], {})[name] = array
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = list(layers)
        for layer, found in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = list(found)
            for name, array in found.items():
                group[name] = array
    return path


def assert_same(graph, other):
    """Holds two networks to the same weights."""
    assert graph.weights.keys() == other.weights.keys()
    for name, array in other.weights.items():
        np.testing.assert_array_equal(graph.weights[name], array)
