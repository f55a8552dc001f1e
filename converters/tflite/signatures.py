"""In which order the runtimes that go by a file's signatures have its outputs."""

from __future__ import annotations

from edgekit.converters.tflite.file import MALFORMED, damaged, schema


def signature_outputs(data: bytes, *, name: str = "the model") -> tuple[int, ...] | None:
    """The tensors of the first signature's outputs, in its order; None of a file without one.

    Signatures list outputs by name, so that their order may differ from the subgraph's.

    Args:
        data: the bytes of a .tflite file.
        name: of the file, for error messages.

    Raises:
        UsageError: the bytes are damaged.
    """
    try:
        root = schema().Model.GetRootAs(data, 0)
        if not root.SignatureDefsLength():
            return None
        signature = root.SignatureDefs(0)
        count = signature.OutputsLength()
        if count > len(data):
            raise ValueError("its lists are longer than the file")
        return tuple(int(signature.Outputs(i).TensorIndex()) for i in range(count))
    except MALFORMED as error:
        raise damaged(name, data, error) from error
