"""What the stand-in for a maker's tool runs: LiteRT's reference kernels, rightly or otherwise."""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


class RefusedError(Exception):
    """The tool does not take the model."""


def answer(arguments, arrays, progress):
    """The outputs of every photo, and how large the file is."""
    if arguments["mode"] == "crash":
        os.abort()
    if arguments["mode"] == "refuse":
        raise RefusedError("CONV_2D is not for this chip")
    interpreter = Interpreter(
        model_path=arguments["model"], experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = output["quantization"]
    outputs = []
    for done, pixels in enumerate(arrays["pixels"], 1):
        interpreter.set_tensor(image["index"], pixels[None])
        interpreter.invoke()
        raw = interpreter.get_tensor(output["index"]).reshape(-1).astype(np.float32)
        if arguments["mode"] == "wrong" and done == 1:
            raw = np.roll(raw, 1)
        outputs.append((raw - np.float32(zero)) * np.float32(scale))
        progress(done, len(arrays["pixels"]))
    return {"bytes": os.path.getsize(arguments["model"])}, {"outputs": np.stack(outputs)}


TASKS = {"answer": answer}
