"""Writes a float network as a SavedModel, whose input is the pixels of photos."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from edgekit.converters.savedmodel.operators import Walk
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.networks.passes import prepare
from edgekit.system.extras import import_optional
from edgekit.system.files import write_json
from edgekit.system.paths import StrPath
from edgekit.system.quiet import native_quiet

#: TensorFlow keeps files of others in this folder of a SavedModel
#: (tensorflow/cc/saved_model/README.md).
EXTRA, RECORD = "assets.extra", "edgekit.json"
INPUT, SIGNATURE = "photos", "serving_default"


def write_savedmodel(graph: Graph, preprocessing: Preprocessing, folder: StrPath) -> Path:
    """Writes a network with its weights as variables, which TensorFlow can train further.

    The signature ``serving_default`` takes ``photos``, float32 [n, height, width, 3], RGB pixels
    from 0 to 255 of the network's own resolution, and normalises them itself. It returns what the
    network's outputs are called: logits, float32 [n, classes] or of maps [n, height, width,
    classes], or of several outputs the rows of each.

    Args:
        graph: float, as training leaves it.
        preprocessing: of the weights. It is kept in ``assets.extra/edgekit.json`` as well: how a
            photo is cropped and resized is no part of the network.
        folder: of the SavedModel; it is made.

    Returns:
        The folder.

    Raises:
        MissingToolError: TensorFlow is not installed.
    """
    folder = Path(folder)
    tf = import_optional("tensorflow", "tensorflow", "writing a SavedModel")
    with native_quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own arrays, which are not what NumPy 2 expects
        module = _build(tf, prepare(graph), preprocessing)
        tf.saved_model.save(module, str(folder), signatures=module.serve)
    extra = folder / EXTRA
    extra.mkdir(exist_ok=True)
    write_json(extra / RECORD, _record(preprocessing))
    return folder


def read_record(folder: StrPath) -> Preprocessing:
    """How photos are prepared for a SavedModel of edgekit, before it normalises them itself.

    Raises:
        OSError, ValueError or KeyError: it keeps no such record.
    """
    text = (Path(folder) / EXTRA / RECORD).read_text("utf-8")
    return Preprocessing.from_dict(json.loads(text)["preprocessing"])


def _record(preprocessing: Preprocessing) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "preprocessing": preprocessing.to_dict(),
        "normalised_inside": True,
    }


def _build(tf: Any, graph: Graph, preprocessing: Preprocessing) -> Any:
    """The module, with its function ``serve``."""
    module = tf.Module(name="edgekit")
    # An attribute of the module, so that they are saved.
    module.weights_ = {
        name: tf.Variable(array, name=name.replace("/", "_")) for name, array in _weights(graph)
    }
    walk = Walk(tf, graph, module.weights_)
    height, width, channels = graph.shapes[graph.input]
    spec = tf.TensorSpec([None, height, width, channels], tf.float32, name=INPUT)

    @tf.function(input_signature=[spec])  # type: ignore[untyped-decorator]
    def serve(photos: Any) -> dict[str, Any]:
        outputs = walk.run((photos - preprocessing.mean) / preprocessing.std)
        return dict(zip(graph.outputs, outputs, strict=True))

    module.serve = serve
    return module


def _weights(graph: Graph) -> list[tuple[str, Any]]:
    """Those that nodes read, each once."""
    names = dict.fromkeys(name for node in graph.nodes for name in node.weight_names())
    return [(name, graph.weights[name]) for name in names]
