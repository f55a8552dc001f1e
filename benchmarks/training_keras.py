"""Keras for benchmarks/training.py: `keras.applications`, with images from tf.data."""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from training_peers import CLASSES, MOMENTUM, RATE, Library, Setup, files_of

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.find import find_spec
from edgekit.system.extras import import_optional


class Keras(Library):
    """The network of `keras.applications`, trained by ``train_on_batch``; it takes pixels."""

    def __init__(self, setup: Setup) -> None:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        keras = import_optional("keras", "tensorflow", "its network")
        tf = import_optional("tensorflow", "tensorflow", "its network")
        spec = find_spec(setup.model)
        name = f"EfficientNet{spec.name.upper().replace('-', '')}"
        if not hasattr(keras.applications, name):
            raise UsageError(f"Keras has no {name}")
        if setup.device == "cuda" and not tf.config.list_physical_devices("GPU"):
            raise UsageError("this TensorFlow sees no GPU")
        tf.config.threading.set_intra_op_parallelism_threads(setup.threads)
        if setup.precision == "bf16":
            keras.mixed_precision.set_global_policy("mixed_bfloat16")
        self.tf, self.setup, self.note = tf, setup, name
        shape = (setup.resolution, setup.resolution, 3)
        self.network: Any = getattr(keras.applications, name)(
            weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None
        )
        self.network.compile(
            optimizer=keras.optimizers.SGD(RATE, momentum=MOMENTUM),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=setup.compile or "auto",
        )
        self.parameters = sum(math.prod(w.shape) for w in self.network.trainable_weights)
        self.macs = sum(_macs(layer) for layer in self.network.layers)
        self.inputs = tf.random.uniform((setup.batch, *shape), maxval=255)
        self.labels = tf.random.uniform((setup.batch,), maxval=CLASSES, dtype=tf.int32)
        infer = tf.function(
            lambda x: self.network(x, training=False), jit_compile=setup.compile or None
        )
        self.forward = lambda: infer(self.inputs).numpy()
        self.step = lambda: self.network.train_on_batch(self.inputs, self.labels)

    def loop(self) -> Generator[object]:
        for pixels, labels in self._batches():
            yield pixels
            self.network.train_on_batch(pixels, labels)

    def _batches(self) -> Any:
        """Decodes no more than the crop, as the released code does (``preprocessing.py``)."""
        tf, side = self.tf, self.setup.resolution

        def load(path: Any, label: Any) -> Any:
            data = tf.io.read_file(path)
            begin, size, _ = tf.image.sample_distorted_bounding_box(
                tf.image.extract_jpeg_shape(data),
                tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
                aspect_ratio_range=(3 / 4, 4 / 3),
                area_range=(0.08, 1.0),
                max_attempts=10,
            )
            window = tf.concat([begin[:2], size[:2]], 0)
            image = tf.image.decode_and_crop_jpeg(data, window, channels=3)
            return tf.image.random_flip_left_right(tf.image.resize(image, (side, side))), label

        paths, labels = zip(*files_of(Path(self.setup.data)), strict=True)
        return (
            tf.data.Dataset.from_tensor_slices((list(paths), np.array(labels, np.int32)))
            .shuffle(len(paths))
            .repeat()
            .map(load, num_parallel_calls=tf.data.AUTOTUNE)
            .batch(self.setup.batch, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
        )


def _macs(layer: Any) -> int:
    kind = type(layer).__name__
    if kind not in ("Dense", "Conv2D", "DepthwiseConv2D"):
        return 0
    places = () if kind == "Dense" else layer.output.shape[1:3]
    return int(math.prod([*layer.kernel.shape, *places]))
