"""The ONNX target: any processor with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.calibration.pair_sums import fit_kernels
from edgekit.converters.file_task import onnx_task
from edgekit.converters.findings import ERROR, WARNING
from edgekit.converters.onnx import file as onnx_file
from edgekit.converters.onnx.file import OnnxModel
from edgekit.converters.onnx.package import package_onnx
from edgekit.converters.onnx.write import WEIGHT_TYPES
from edgekit.options.build import BuildOptions
from edgekit.options.quantization import AUTO
from edgekit.system.extras import require
from edgekit.system.files import write_bytes
from edgekit.system.host import CPUS, this_cpu
from edgekit.system.paths import StrPath
from edgekit.system.text import size
from edgekit.targets.base import Examination, Finding, Target
from edgekit.targets.files import Form, Source
from edgekit.targets.needs import Need, of_extra

#: The first with a DequantizeLinear per channel (onnx/docs/Changelog.md).
OLDEST_OPSET = 13


@dataclass(frozen=True)
class Kernels:
    """How an int8 file holds its kernels.

    Attributes:
        weights: their type, of `edgekit.converters.onnx.write.WEIGHT_TYPES`.
        fits: whether their scales are raised until pairs of products fit 16 bits.
        about: both, for the build's line.
    """

    weights: str
    fits: bool
    about: str


#: By the processor that a file is for, of `edgekit.system.host.CPUS`.
KERNELS = {
    "any": Kernels("uint8", False, "uint8 weights, exact everywhere"),
    "avx2": Kernels("int8", True, "int8 weights that fit sums of 16 bits, exact everywhere"),
    "vnni": Kernels("int8", False, "int8 weights, exact only there"),
}

#: Severity, name, what finds the places and what is wrong there, what to do about it.
Rule = tuple[str, str, Callable[[OnnxModel], Iterator[tuple[str, str]]], str]


class OnnxTarget(Target):
    """Takes the .onnx file in QDQ form as it is; nothing is compiled."""

    name = "onnx"
    about = "any processor with ONNX Runtime"
    takes = "int8 .onnx (QDQ)"
    ending = ".onnx"
    scheme = "w8a8-static"
    accepts_mixed = True

    def needs(self) -> tuple[Need, ...]:
        """Returns the packages that write and run its files."""
        return (of_extra("onnx", "onnx", "onnxruntime"),)

    def forms(self, options: BuildOptions) -> tuple[Form, ...]:
        """Returns the float model and the network's own integers in QDQ form."""
        require("onnx", "onnx", "onnxruntime")
        batch = None if options.dynamic_batch else 1
        return (_float_form(batch), _int8_form(batch, options.cpu))

    def examine(self, path: StrPath, model: Any = None) -> Examination:
        """Finds where the file is not in QDQ form, not safe, or not exact everywhere."""
        path = Path(path)
        model = model or onnx_file.read(path)
        findings = (*classifier_findings(model), *_found(_RULES, model))
        return Examination(path, model, findings)


def classifier_findings(model: OnnxModel) -> list[Finding]:
    """Returns why a file is not a safe int8 classifier in QDQ form."""
    return [*onnx_file.check(model), *_found(_CLASSIFIER_RULES, model)]


def _found(rules: Iterable[Rule], model: OnnxModel) -> list[Finding]:
    return [
        Finding(severity, rule, where, message, fix)
        for severity, rule, find, fix in rules
        for where, message in find(model)
    ]


def _float_form(batch: int | None) -> Form:
    def write(source: Source, folder: Path) -> str:
        return _write(source, folder, "fp32", batch)

    return Form("fp32-onnx", "fp32", (".onnx",), False, write, (("batch", batch),))


def _int8_form(batch: int | None, cpu: str) -> Form:
    chosen = this_cpu() if cpu == AUTO else cpu
    kernels = KERNELS[chosen]

    def write(source: Source, folder: Path) -> str:
        if kernels.fits:
            graph = fit_kernels(source.graph, source.calibration, across_taps=True)
            source = replace(source, graph=graph)
        written = _write(source, folder, "w8a8-static", batch, kernels.weights)
        whose = f"{chosen}, as this processor" if cpu == AUTO else chosen
        return f"{written}, for {whose}: {kernels.about}"

    reads = (("batch", batch), *((("cpu", chosen),) if chosen != CPUS[0] else ()))
    return Form("w8a8-onnx", "w8a8-static", (".onnx",), True, write, reads)


def _write(
    source: Source,
    folder: Path,
    scheme: str,
    batch: int | None,
    weights: str = WEIGHT_TYPES[0],
) -> str:
    contents = package_onnx(
        source.graph,
        preprocessing=source.preprocessing,
        scheme=scheme,
        io=source.io,
        batch=batch,
        weights=weights,
    )
    write_bytes(folder / f"{scheme}.onnx", contents)
    return size(len(contents))


def _scheme(model: OnnxModel) -> Iterator[tuple[str, str]]:
    if model.scheme not in ("w8a8-static", "mixed"):
        yield "model", f"its scheme is {model.scheme}"


def _opset(model: OnnxModel) -> Iterator[tuple[str, str]]:
    if model.opset < OLDEST_OPSET:
        yield "model", f"its opset is {model.opset}"


def _ends(model: OnnxModel) -> Iterator[tuple[str, str]]:
    task = onnx_task(model)
    if task.name:
        return
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        yield "model", f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs"
    else:
        yield "model", f"it is no image classifier: {task.problem}"


def _saturating(model: OnnxModel) -> Iterator[tuple[str, str]]:
    if model.fits_pairs:
        return
    stored = {
        node.inputs[0]
        for node in model.nodes
        if node.kind == "DequantizeLinear" and model.constants.get(node.inputs[0]) == "int8"
    }
    if stored:
        message = f"{len(stored)} weights are int8, which saturates on x86-64 without VNNI"
        yield f"constant '{min(stored)}'", message


_CLASSIFIER_RULES: tuple[Rule, ...] = (
    (ERROR, "scheme", _scheme, "write it with QuantizeLinear and DequantizeLinear (QDQ)"),
    (ERROR, "opset", _opset, f"write it with opset {OLDEST_OPSET} or newer"),
    (ERROR, "one-photo", _ends, "one photo in, one vector of scores out"),
)
_RULES: tuple[Rule, ...] = (
    (
        WARNING,
        "exact-everywhere",
        _saturating,
        "build it with --cpu any or avx2, or set session.x64quantprecision to 1 there",
    ),
)
