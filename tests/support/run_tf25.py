"""Runs .tflite files in an old TensorFlow; a script for Python 3.8, started by test_tf25.py.

usage: run_tf25.py FOLDER

FOLDER holds pairs of X.tflite and X.npz (arrays "0", "1", … for the model's inputs, each with
one more axis in front, for the runs). X.out.npy is written with the raw outputs, and X.json with
what the standard metadata reader sees (null where it is not installed or there is no metadata).
"""

import glob
import json
import os
import sys

import numpy as np


def run(path):
    from tensorflow.lite.python.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    entries = [entry["index"] for entry in interpreter.get_input_details()]
    end = interpreter.get_output_details()[0]["index"]
    fed = np.load(path[: -len(".tflite")] + ".npz")
    outputs = []
    for i in range(len(fed["0"])):
        for number, entry in enumerate(entries):
            interpreter.set_tensor(entry, fed[str(number)][i])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(end))
    return np.stack(outputs)


def metadata(path):
    try:
        from tflite_support import metadata as reader
    except ImportError:
        return None
    try:
        displayer = reader.MetadataDisplayer.with_model_file(path)
    except ValueError:  # the model has none
        return None
    table = json.loads(displayer.get_metadata_json())
    table["packed"] = displayer.get_packed_associated_file_list()
    return table


def main():
    import tensorflow

    print(tensorflow.__version__)
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.tflite"))):
        stem = path[: -len(".tflite")]
        np.save(stem + ".out.npy", run(path))
        with open(stem + ".json", "w") as file:
            json.dump(metadata(path), file)


if __name__ == "__main__":
    main()
