"""The ONNX target: any processor with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekit.converters.file_task import onnx_task
from edgekit.converters.findings import ERROR, WARNING
from edgekit.converters.onnx import file as onnx_file
from edgekit.converters.onnx.file import OnnxModel
from edgekit.converters.onnx.package import package_onnx
from edgekit.options.build import BuildOptions
from edgekit.system.extras import require
from edgekit.system.files import write_bytes
from edgekit.system.paths import StrPath
from edgekit.system.text import size
from edgekit.targets.base import Examination, Finding, Target
from edgekit.targets.files import Form, Source
from edgekit.targets.needs import Need, of_extra

#: The first with a DequantizeLinear per channel (onnx/docs/Changelog.md).
OLDEST_OPSET = 13

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
        return (_form("fp32-onnx", "fp32", batch), _form("w8a8-onnx", "w8a8-static", batch))

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


def _form(row: str, scheme: str, batch: int | None) -> Form:
    def write(source: Source, folder: Path) -> str:
        contents = package_onnx(
            source.graph,
            preprocessing=source.preprocessing,
            scheme=scheme,
            io=source.io,
            batch=batch,
        )
        write_bytes(folder / f"{scheme}.onnx", contents)
        return size(len(contents))

    quantized = scheme != "fp32"
    reads = (("batch", batch),)
    return Form(row, scheme, (".onnx",), quantized, write, reads)


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
        "store weights as uint8, or set session.x64quantprecision to 1 there",
    ),
)
