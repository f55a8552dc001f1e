"""The OpenVINO target: Intel processors, and whatever else OpenVINO has a plugin for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.converters.findings import ERROR
from edgekit.converters.openvino import checks as openvino_checks
from edgekit.converters.openvino import file as openvino_file
from edgekit.data.images import Pixels
from edgekit.networks.schemes import AT_KERNELS, W8A8
from edgekit.options.build import BuildOptions
from edgekit.system.extras import require
from edgekit.system.host import installed
from edgekit.system.paths import StrPath
from edgekit.system.text import size
from edgekit.targets.base import Examination, Finding, Target
from edgekit.targets.files import Form, Source
from edgekit.targets.needs import Need, of_extra

_INT8 = ("w8a8-static", "w8a8-mixed")
_SUFFIXES = (".xml", ".bin")
_NNCF_ROW, _NNCF_STEM = "w8a8-openvino-nncf", "w8a8-static-nncf"


class OpenVINOTarget(Target):
    """Takes the int8 IR as it is; the device compiles it when it is loaded."""

    name = "openvino"
    about = "Intel processors, GPUs and NPUs"
    takes = "int8 .xml (IR)"
    ending = ".xml"
    scheme = "w8a8-static"
    accepts_mixed = True

    def needs(self) -> tuple[Need, ...]:
        """Returns the packages that write and run its files."""
        return (of_extra("openvino", "openvino", "nncf"),)

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns the float IRs, the network's own integers, and NNCF's where it is asked for."""
        make = _trained_form if options.quantize == "qat" else _nncf_form
        require("openvino", "openvino", "nncf")
        half = (_form("fp16-openvino", "fp16"),) if "fp16" in options.schemes else ()
        nncf = () if options.quantizer == "ours" else (make(options),)
        fp32, int8 = _form("fp32-openvino", "fp32"), _form("w8a8-openvino", "w8a8-static")
        return (fp32, *half, int8, *nncf)

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds where an IR (.xml, with its .bin) is no int8 classifier that OpenVINO runs."""
        path = Path(path)
        model = model or openvino_file.read(path)
        found = openvino_checks.findings(model)
        if model.scheme not in _INT8:
            message = f"its weights are {model.scheme}"
            found.append(Finding(ERROR, "scheme", "model", message, "quantize it to 8 bits"))
        return Examination(path, model, tuple(found))


def _form(row: str, scheme: str) -> Form:
    def write(source: Source, folder: Path) -> str:
        from edgekit.converters.openvino.write import save

        save(_convert(source), folder / f"{scheme}.xml", half=scheme == "fp16")
        return _size(folder, scheme)

    quantized = scheme == "w8a8-static"
    reads = (("kernels", "pair sums"),) if quantized else ()
    network = AT_KERNELS if quantized else W8A8
    return Form(row, scheme, _SUFFIXES, quantized, write, reads, scheme=network)


def _nncf_form(options: BuildOptions) -> Form:
    """NNCF quantizes the float model, with the same calibration photos."""
    full, budget = options.quantizer == "nncf-full", options.budget
    stem = _NNCF_STEM

    def write(source: Source, folder: Path) -> str:
        from edgekit.converters.openvino.nncf import quantize_nncf
        from edgekit.converters.openvino.write import save

        as_input = source.preprocessing.normalize if source.io == "float32" else None
        quantized = quantize_nncf(
            _convert(source),
            (_fed(pixels, as_input) for pixels in source.calibration()),
            fast_bias_correction=not full,
            max_drop=budget,
            preprocessing=source.preprocessing,
            validate=[]
            if budget is None
            else [(_fed(pixels, as_input), labels) for pixels, labels in source.choosing()],
        )
        save(quantized, folder / f"{stem}.xml")
        return _size(folder, stem)

    reads = (("quantizer", options.quantizer), ("max_drop", budget), ("nncf", installed("nncf")))
    return Form(_NNCF_ROW, stem, _SUFFIXES, False, write, reads)


def _trained_form(options: BuildOptions) -> Form:
    """NNCF quantizes the float network and trains it, with the recipe of our own training."""
    from edgekit.options.recipes import make_qat_recipe

    recipe = make_qat_recipe(options)
    on_calibration = options.distill_only and options.calibration is not None

    def write(source: Source, folder: Path) -> str:
        from edgekit.converters.openvino.nncf_qat import train_nncf
        from edgekit.converters.openvino.write import save
        from edgekit.training.job import TrainingJob

        splits = source.splits
        train = splits.calibration if on_calibration else splits.train
        job = TrainingJob(source.graph, train, splits.val, source.preprocessing, recipe)
        trained = train_nncf(
            job, source.calibration(), io=source.io, folder=folder, advance=source.advance
        )
        save(trained, folder / f"{_NNCF_STEM}.xml")
        return _size(folder, _NNCF_STEM)

    reads = (
        ("quantizer", "nncf-qat"),
        ("recipe", asdict(recipe)),
        ("on_calibration", on_calibration),
        ("nncf", installed("nncf")),
        ("torch", installed("torch")),
    )
    return Form(_NNCF_ROW, _NNCF_STEM, _SUFFIXES, False, write, reads)


def _convert(source: Source) -> Any:
    from edgekit.calibration.pair_sums import fit_kernels
    from edgekit.converters.openvino.write import convert

    graph = fit_kernels(source.graph, source.calibration)
    return convert(graph, io=source.io, preprocessing=source.preprocessing)


def _fed(pixels: Pixels, normalize: Callable[[Pixels], Any] | None) -> Any:
    """Photos in the form of the model's input: bytes NHWC, or normalised NCHW."""
    return pixels if normalize is None else normalize(pixels).transpose(0, 3, 1, 2)


def _size(folder: Path, stem: str) -> str:
    return size(sum((folder / f"{stem}{suffix}").stat().st_size for suffix in _SUFFIXES))
