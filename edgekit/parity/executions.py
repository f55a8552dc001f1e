"""The forms in which one network can run on the same photos, for `edgekit.parity.compare`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit import runs
from edgekit.converters.classifier import refuse
from edgekit.converters.file_task import tflite_task
from edgekit.converters.tflite.detections import find_post_process
from edgekit.converters.tflite.file import TFLiteModel, read
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.images import Pixels
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import MissingToolError, UsageError
from edgekit.parity.integer_kernels import run_model
from edgekit.runs import open_run
from edgekit.runtimes.answer import TFLiteAnswer
from edgekit.runtimes.interpreter import Kernels
from edgekit.runtimes.litert import LiteRT
from edgekit.runtimes.open import RUNTIMES, open_classifier
from edgekit.system.paths import StrPath

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.networks.graph import Graph

#: Files that a run may have for other runtimes.
_OTHERS = {
    f"{runtime.name} {kind}": f"{stem}{runtime.ending}"
    for kinds in (
        {"float": "fp32"},
        {"int8": "w8a8-static", "int8 by nncf": "w8a8-static-nncf"},
    )
    for runtime in RUNTIMES.values()
    if runtime.name != "tflite"
    for kind, stem in kinds.items()
}
Array = NDArray[Any]
Execution = Callable[[Pixels], Array]
#: Called with the task, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Subject:
    """A network whose forms are compared.

    Attributes:
        file: the int8 .tflite file.
        preprocessing: of photos for it.
        photos: what it is fed.
        source: where they are from, in words.
        float_file: the float .tflite file.
        graph: the float network, as trained.
        quantized: the network that the int8 file was written from.
        reference: the float network with the nodes and the input of ``quantized``.
        others: files of other runtimes by name, such as "onnx float" or "openvino int8".
    """

    file: Path
    preprocessing: Preprocessing
    photos: PhotoSet
    source: str
    float_file: Path | None = None
    graph: Graph | None = None
    quantized: Graph | None = None
    reference: Graph | None = None
    others: Mapping[str, Path] = field(default_factory=dict)


def find_subject(path: StrPath, float_file: StrPath | None = None) -> Subject:
    """Reads the folder of a finished build, or takes a file as it is.

    Args:
        path: the folder, or an int8 .tflite file; the latter is fed the built-in photos.
        float_file: beside a file, the float .tflite file of the same network.

    Raises:
        UsageError: there is no finished run, or the file is no image classifier, or it ends with
            boxes.
    """
    path = Path(path)
    float_file = Path(float_file) if float_file is not None else None
    if path.is_dir():
        if float_file is not None:
            raise UsageError("a run has a float file of its own", hint="leave --float out")
        return _subject_of_run(path)
    from edgekit.data.synthetic import VAL_COUNT, SyntheticPhotos

    model = read(path)
    shape = model.tensors[model.inputs[0]].shape if model.inputs else ()
    if len(shape) != 4 or not 0 < shape[1] == shape[2]:
        raise UsageError(f"{path} is not an image classifier", cause=f"its input is {list(shape)}")
    _refuse_boxes(path, model)
    metadata = read_metadata(path)
    task = tflite_task(model, replace(metadata, task=""))  # an embedding is compared, too
    refuse(path, None if task.rows else task.problem)
    outputs = model.tensors[model.outputs[0]].shape
    if outputs[0] != 1:
        cause = f"its output is {list(outputs)}, not [1, classes]"
        raise UsageError(f"{path} cannot be compared photo by photo", cause=cause)
    record = metadata.preprocessing
    # Without a record, pixels are taken to be scaled to -1 … 1.
    plain = Preprocessing(shape[1], (127.5,) * 3, (127.5,) * 3, ())
    preprocessing = Preprocessing.from_dict(record) if record else plain
    if preprocessing.dtype != "float32":  # then it says nothing of a float file beside it
        preprocessing = replace(preprocessing.of_input("float32"), mean=plain.mean, std=plain.std)
    photos = SyntheticPhotos(VAL_COUNT, 0, "val", shape[1])
    return Subject(path, preprocessing, photos, "the built-in photos", float_file)


def _refuse_boxes(path: Path, model: TFLiteModel) -> None:
    """Raises UsageError where a file ends with boxes."""
    if find_post_process(model) is not None:
        raise UsageError(
            f"{path} ends with boxes, and parity is of what they are chosen from",
            cause="of two that are nearly as good, rounding decides which one stays",
            hint="edgekit build --output raw",
        )


def _subject_of_run(folder: Path) -> Subject:
    from edgekit.networks.graph import Graph
    from edgekit.networks.schemes import FP32, W8A8
    from edgekit.tasks.registry import find_task

    run = open_run(folder)
    file = {scheme: folder / f"{run.name}-{scheme}.tflite" for scheme in (FP32, W8A8)}
    if not file[W8A8].exists():
        raise UsageError(
            f"{folder} holds no file that is int8 throughout",
            cause="some of its layers are kept in float, which the integer simulation cannot run",
        )
    _refuse_boxes(file[W8A8], read(file[W8A8]))
    graph, task = Graph.load(folder / f"{run.name}.graph"), find_task(run.preprocessing.task)
    # A repair may have given the channels other scales.
    repaired = run.has("repair", runs.FLOAT)
    reference = run.graph("repair", runs.FLOAT) if repaired else run.graph("calibrate")
    splits = run.splits()
    return Subject(
        file[W8A8],
        run.preprocessing,
        splits.val,
        splits.source,
        file[FP32],
        runs.as_converted(graph, run.head, task),
        Graph.load(folder / f"{run.name}-{W8A8}.graph"),
        reference,
        {
            form: path
            for form, end in _OTHERS.items()
            if (path := folder / f"{run.name}-{end}").exists()
        },
    )


def executions(
    subject: Subject, wanted: TFLiteModel, builtin: LiteRT
) -> tuple[dict[str, Execution], dict[str, Execution]]:
    """Every form that there is, by name: first the float ones, then the int8 ones.

    Args:
        subject: the network.
        wanted: the int8 file as it should be; the integer simulation runs it.
        builtin: the file with built-in kernels.

    Returns:
        Functions from pixels, uint8 [n, height, width, 3], to answers
        (`edgekit.runtimes.base.Classifier`).
    """
    floats: dict[str, Execution] = {}
    if subject.graph is not None:
        floats["torch float"] = _torch(subject.graph, subject.preprocessing)
    if subject.float_file is not None:
        floats["tflite float"] = runtime(subject, subject.float_file).run
    integers: dict[str, Execution] = {}
    if subject.quantized is not None:
        integers["float simulation"] = _simulation(subject.quantized)
    for name, path in subject.others.items():
        forms = floats if name.endswith(" float") else integers
        with contextlib.suppress(MissingToolError):  # built where its runtime is installed
            forms[name] = open_classifier(path).run
    integers["integer simulation"] = _integers(wanted, builtin.feed)
    integers["tflite builtin"] = builtin.run
    dtype = builtin.input.dtype
    integers["tflite xnnpack"] = runtime(subject, subject.file, dtype=dtype).run
    return floats, integers


def runtime(subject: Subject, path: StrPath, kernels: str = "xnnpack", dtype: str = "") -> LiteRT:
    """LiteRT for one of the subject's files, fed as its metadata says where it has some.

    Args:
        subject: whose preprocessing feeds a file without metadata.
        path: of the file.
        kernels: as for `edgekit.runtimes.litert.LiteRT`.
        dtype: of the file's input, where it is known: integer ones need no look at the metadata.
    """
    path = Path(path)
    said = "int" not in dtype and bool(read_metadata(path).mean)
    own = None if said else subject.preprocessing
    return LiteRT(path, kernels=kernels, preprocessing=own, threads=1)


def _torch(graph: Graph, preprocessing: Preprocessing) -> Execution:
    import torch

    from edgekit.networks.predict import to_answers, to_input
    from edgekit.networks.torch_network import Network

    network = Network(graph).eval()

    def run(pixels: Pixels) -> Array:
        with torch.inference_mode():
            return to_answers(network(to_input(pixels, preprocessing, "cpu")))

    return run


def _simulation(quantized: Graph) -> Execution:
    import torch

    from edgekit.calibration.simulate import Simulation
    from edgekit.networks.predict import to_answers

    network = Simulation(quantized).eval()

    def run(pixels: Pixels) -> Array:
        with torch.inference_mode():
            return to_answers(network(prepared_input(quantized, pixels)))

    return run


def _integers(wanted: TFLiteModel, feed: Callable[[Pixels], Array]) -> Execution:
    answer = TFLiteAnswer.of(wanted)

    def run_one(photo: Pixels) -> Array:
        values = run_model(wanted, feed(photo))
        return answer.read([values[output.index] for output in answer.outputs])

    # One at a time: all tensors of a photo are kept until it is done.
    return lambda pixels: np.stack([run_one(photo) for photo in pixels])


def prepared_input(quantized: Graph, pixels: Pixels) -> Any:
    """What pixels are in the quantized network: its own normalization, that of its input."""
    import torch

    params = quantized.quant[quantized.input]
    real = (pixels.astype(np.float32) - 128 - params.zero_point[0]) * np.float32(params.scale[0])
    return torch.from_numpy(real).permute(0, 3, 1, 2)


def float_tensors(reference: Graph, quantized: Graph, pixels: Pixels) -> dict[str, Array]:
    """Every tensor of a float network, by the Graph's names.

    Args:
        reference: the float network.
        quantized: the network with the same input whose tensors they are compared with.
        pixels: uint8 [n, height, width, 3].

    Returns:
        float32 [n, …] in the file's layout, NHWC.
    """
    import torch

    from edgekit.networks.torch_network import Network

    found: dict[str, Array] = {}

    def keep(name: str, tensor: Any) -> Any:
        found[name] = (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).numpy()
        return tensor

    with torch.inference_mode():
        Network(reference).eval().run(prepared_input(quantized, pixels), keep)
    return found


def trace(contents: bytes, model: TFLiteModel, fed: Sequence[Array]) -> dict[int, Array]:
    """Runs a file's built-in kernels and returns all activations by tensor index, [n, …]."""
    engine = Kernels(contents)
    runs: list[Mapping[int, Array]] = []
    for one in fed:
        engine.run([one])
        runs.append(engine.activations(model))
    return {index: np.concatenate([run[index] for run in runs]) for index in runs[0]}
