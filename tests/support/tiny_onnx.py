"""Small ONNX models made by hand, as other tools write them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

SIZE, CLASSES = 4, 3
WEIGHTS = np.random.default_rng(3).normal(size=(CLASSES, 3, SIZE, SIZE)).astype(np.float32)


def tiny(
    shape: tuple[int | str, ...] = (1, 3, SIZE, SIZE),
    *,
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    weights: TensorProto | None = None,
    more: list[Any] | None = None,
    **fields: Any,
) -> ModelProto:
    """A convolution over the whole photo: one score per class.

    Args:
        shape: of the input, NCHW.
        dtype: of the input.
        opset: version of ONNX's operators.
        weights: in place of `WEIGHTS`.
        more: further nodes; one that writes "scores" replaces the last of ours.
        fields: of the model, such as ``functions``.
    """
    nodes = [helper.make_node("Conv", ["image", "weights"], ["map"], "conv")]
    more = more or []
    if not any("scores" in node.output for node in more):
        nodes.append(helper.make_node("Flatten", ["map"], ["scores"], "flatten"))
    graph = helper.make_graph(
        nodes + more,
        "tiny",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [weights or numpy_helper.from_array(WEIGHTS, "weights")],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("other", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **fields)


def scores(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `tiny` computes from float32 [n, 3, SIZE, SIZE]."""
    return np.einsum("nchw,kchw->nk", inputs, WEIGHTS)


def outside(location: str, offset: int = 0, length: int = WEIGHTS.nbytes) -> TensorProto:
    """The weights, kept in another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": str(offset), "length": str(length)}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def conditional() -> Any:
    """An If, as a node that writes "scores"."""
    branches = {
        name: helper.make_graph(
            [helper.make_node("Flatten", ["map"], ["out"])],
            name,
            [],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        )
        for name in ("then_branch", "else_branch")
    }
    return helper.make_node("If", ["flag"], ["scores"], "choose", **branches)
