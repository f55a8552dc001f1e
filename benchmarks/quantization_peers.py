"""The peers of benchmarks/quantization.py, and the runtimes of the files that they write.

A peer is a function of the subject and of a folder for its files. It imports its tool, gets ready
and returns the work that is timed, which in turn returns the file.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from quantization_subject import Pixels, Subject
from tensorflow_converter import make_module

from edgekit.data.preprocessing import Preprocessing
from edgekit.runtimes.litert import LiteRT, measure_latency
from edgekit.system.quiet import native_quiet

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Emitted:
    """A file that a tool wrote.

    Attributes:
        path: of the file; its suffix says whose it is.
        preprocessing: how its float input is normalized; bytes need none.
        source: the float network that it was made from, in words.
    """

    path: Path
    preprocessing: Preprocessing
    source: str = "edgekit's float graph"

    @property
    def size(self) -> int:
        """Bytes of the file, with the weights that OpenVINO keeps in another beside it."""
        beside = self.path.with_suffix(".bin")
        return self.path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)


#: What is timed.
Work = Callable[[], Emitted]


def tensorflow(subject: Subject, folder: Path) -> Work:
    """TensorFlow's converter: full int8 with a representative dataset."""
    import tensorflow as tf

    converter_of, preprocessing, source = _tensorflow_network(subject)
    path = folder / "tensorflow.tflite"

    def work() -> Emitted:
        inputs = preprocessing.normalize(subject.calibration)
        converter = converter_of()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([photo[None]] for photo in inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        path.write_bytes(converter.convert())
        return Emitted(path, preprocessing, source)

    return work


def litert_quantizer(subject: Subject, folder: Path) -> Work:
    """Google's quantizer of TFLite files; the float file that it needs is part of the work."""
    from ai_edge_litert.interpreter import Interpreter
    from litert_quantizer import quantizer, recipe

    converter_of, preprocessing, source = _tensorflow_network(subject)
    path, float_path = folder / "litert-quantizer.tflite", folder / "litert-float.tflite"

    def work() -> Emitted:
        inputs = preprocessing.normalize(subject.calibration)
        float_path.write_bytes(converter_of().convert())
        ((signature, names),) = Interpreter(model_path=str(float_path)).get_signature_list().items()
        photos = [{names["inputs"][0]: photo[None]} for photo in inputs]
        tool = quantizer.Quantizer(str(float_path), recipe.static_wi8_ai8())
        found = tool.calibrate({signature: photos})
        tool.quantize(found).export_model(str(path), overwrite=True)
        return Emitted(path, preprocessing, source)

    return work


def _tensorflow_network(subject: Subject) -> tuple[Callable[[], Any], Preprocessing, str]:
    """The float network as a user of TensorFlow has it.

    Returns:
        What makes a converter of it, how its input is normalized, and what it is.
    """
    import tensorflow as tf

    from edgekit.networks.passes import prepare

    if subject.keras_file is None:
        module = make_module(tf, prepare(subject.graph))
        return (
            lambda: tf.lite.TFLiteConverter.from_concrete_functions(
                [module.run.get_concrete_function()], module
            ),
            subject.preprocessing,
            "edgekit's float graph",
        )
    import keras

    name = f"EfficientNet{subject.graph.name.upper().replace('-', '')}"
    side = subject.preprocessing.resolution
    model = getattr(keras.applications, name)(
        weights=str(subject.keras_file),
        input_tensor=keras.Input(batch_shape=(1, side, side, 3)),
        classifier_activation=None,
    )
    # Its own first layers normalize: it takes pixels.
    pixels = replace(subject.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
    return (
        lambda: tf.lite.TFLiteConverter.from_keras_model(model),
        pixels,
        f"keras.applications.{name}",
    )


def nncf(subject: Subject, folder: Path) -> Work:
    """NNCF on OpenVINO, preset MIXED, which is its advice for swish."""
    # Outside of CI, both report their use to their makers.
    os.environ.update(CI="true", NNCF_CI="1")
    import nncf
    import openvino
    import torch

    from edgekit.networks.torch_network import Network

    network, path = Network(subject.graph).eval(), folder / "nncf.xml"

    def work() -> Emitted:
        photos = _channels_first(subject)
        model = openvino.convert_model(
            network, example_input=torch.from_numpy(photos[:1]), input=list(photos[:1].shape)
        )
        quantized = nncf.quantize(
            model,
            nncf.Dataset([photo[None] for photo in photos]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(photos),
        )
        openvino.save_model(quantized, path)
        return Emitted(path, subject.preprocessing)

    return work


def onnxruntime(subject: Subject, folder: Path) -> Work:
    """ONNX Runtime's static quantization: QDQ, weights per channel, min-max ranges."""
    import onnx  # noqa: F401 (torch's exporter needs it)
    import torch
    from onnxruntime import quantization as ort
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from edgekit.networks.torch_network import Network

    network, path = Network(subject.graph).eval(), folder / "onnxruntime.onnx"
    exported, cleaned = folder / "exported.onnx", folder / "cleaned.onnx"

    class Photos(ort.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, photos: Floats) -> None:
            self.photos: Iterator[Floats] = iter(photos[:, None])

        def get_next(self) -> dict[str, Floats] | None:
            photo = next(self.photos, None)
            return None if photo is None else {"photo": photo}

    def work() -> Emitted:
        photos = _channels_first(subject)
        torch.onnx.export(
            network,
            (torch.from_numpy(photos[:1]),),
            exported,
            input_names=["photo"],
            output_names=["logits"],
            dynamo=False,
        )
        # Symbolic shapes are for transformers, and fail on the padding of Lite0's strided layers at
        # 128 px ("Expected a sum of two arguments").
        quant_pre_process(str(exported), str(cleaned), skip_symbolic_shape=True)
        ort.quantize_static(
            str(cleaned),
            str(path),
            Photos(photos),
            quant_format=ort.QuantFormat.QDQ,
            per_channel=True,
            calibrate_method=ort.CalibrationMethod.MinMax,
            activation_type=ort.QuantType.QInt8,
            weight_type=ort.QuantType.QInt8,
        )
        return Emitted(path, subject.preprocessing)

    return work


def executorch(subject: Subject, folder: Path) -> Work:
    """ExecuTorch with XNNPACK's quantizer: symmetric, weights per channel."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from edgekit.converters.torch.builder import build
    from edgekit.converters.torch.plan import make_plan
    from edgekit.networks.passes import prepare

    # Plain layers: XNNPACK takes them as one part.
    plan, path = make_plan(prepare(subject.graph)), folder / "executorch.pte"

    def work() -> Emitted:
        photos = torch.from_numpy(_channels_first(subject))
        how = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
        with torch.no_grad():
            exported = torch.export.export(build(plan.steps, plan.arrays), (photos[:1],)).module()
            observed = prepare_pt2e(exported, xnnpack.XNNPACKQuantizer().set_global(how))
            for photo in photos:
                observed(photo[None])
            quantized = torch.export.export(convert_pt2e(observed), (photos[:1],))
            edge = to_edge_transform_and_lower(quantized, partitioner=[XnnpackPartitioner()])
        path.write_bytes(edge.to_executorch().buffer)
        return Emitted(path, subject.preprocessing)

    return work


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the tools' own lines off a table."""
    with native_quiet(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _channels_first(subject: Subject) -> Floats:
    """The calibration photos as torch's networks take them, float32 [n, 3, height, width]."""
    photos = subject.preprocessing.normalize(subject.calibration)
    return np.ascontiguousarray(photos.transpose(0, 3, 1, 2))


class Peer(NamedTuple):
    """A tool, and the packages to install for it."""

    ready: Callable[[Subject, Path], Work]
    packages: str


PEERS = {
    "tensorflow": Peer(tensorflow, '-e ".[tensorflow]"'),
    "litert-quantizer": Peer(litert_quantizer, '-e ".[bench]"'),
    "nncf": Peer(nncf, "nncf openvino"),
    "onnxruntime": Peer(onnxruntime, "onnx onnxruntime"),
    # Its other dependencies serve other backends.
    "executorch": Peer(executorch, "--no-deps executorch torchao pyyaml ruamel.yaml tabulate"),
}


def install(peer: str) -> str:
    """The command that installs what a peer needs."""
    return f"python -m pip install -c constraints.txt {PEERS[peer].packages}"


class Runtime:
    """A file in the runtime that it was written for, on this host, one photo at a time.

    Args:
        emitted: the file.
        threads: of its kernels.
    """

    name: str
    run_once: Callable[[Floats], Floats]

    def __init__(self, emitted: Emitted, threads: int) -> None:
        self.emitted, self.threads = emitted, threads

    def logits(self, photos: Pixels) -> Floats:
        """Classifies pixels, uint8 [n, height, width, 3]; float32 [n, classes]."""
        return np.concatenate([self.run_once(self._fed(photo)) for photo in photos])

    def median_ms(self, photo: Pixels, runs: int) -> float:
        """Median of ``runs`` warm runs of one photo, uint8 [height, width, 3], in ms."""
        fed, times = self._fed(photo), []
        self.run_once(fed)
        for _ in range(runs):
            began = time.perf_counter()
            self.run_once(fed)
            times.append(1e3 * (time.perf_counter() - began))
        return float(np.median(times))

    def _fed(self, photo: Pixels) -> Floats:
        values = self.emitted.preprocessing.normalize(photo)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


class OnLiteRT(Runtime):
    """LiteRT with its default kernels (XNNPACK)."""

    name = "LiteRT"

    def logits(self, photos: Pixels) -> Floats:
        emitted = self.emitted
        runtime = LiteRT(emitted.path, preprocessing=emitted.preprocessing, threads=self.threads)
        return runtime.run(photos)

    def median_ms(self, photo: Pixels, runs: int) -> float:
        found = measure_latency(
            self.emitted.path,
            photo,
            preprocessing=self.emitted.preprocessing,
            threads=self.threads,
            warm=runs,
        )
        return float(found["median"])


class OnOpenVINO(Runtime):
    """OpenVINO on the CPU, compiled for latency; what is float is float32, on AMX, too."""

    name = "OpenVINO"

    def __init__(self, emitted: Emitted, threads: int) -> None:
        import openvino

        super().__init__(emitted, threads)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        request = openvino.compile_model(emitted.path, "CPU", settings).create_infer_request()
        self.run_once = lambda fed: request.infer([fed], share_inputs=True)[0].copy()


class OnONNXRuntime(Runtime):
    """ONNX Runtime's CPU kernels."""

    name = "ONNX Runtime"

    def __init__(self, emitted: Emitted, threads: int) -> None:
        import onnxruntime

        super().__init__(emitted, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            emitted.path, options, providers=["CPUExecutionProvider"]
        )
        self.run_once = lambda fed: session.run(None, {"photo": fed})[0]


class OnExecuTorch(Runtime):
    """ExecuTorch's XNNPACK kernels."""

    name = "ExecuTorch"

    def __init__(self, emitted: Emitted, threads: int) -> None:
        from executorch_runtime import ExecuTorch

        super().__init__(emitted, threads)
        self.run_once = ExecuTorch(emitted.path, threads=threads).answer


RUNTIMES = {
    ".tflite": OnLiteRT,
    ".xml": OnOpenVINO,
    ".onnx": OnONNXRuntime,
    ".pte": OnExecuTorch,
}


def runtime_of(emitted: Emitted, threads: int) -> Runtime:
    """Loads a file into its own runtime."""
    return RUNTIMES[emitted.path.suffix](emitted, threads)
