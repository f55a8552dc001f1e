"""``edgekit inspect FILE``: what a model file is, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.options import Json


def inspect(
    file: Annotated[Path, typer.Argument(help="A .tflite, .onnx or .xml file, of edgekit or not.")],
    json: Json = False,
) -> None:
    """Show a model file's types, operators, labels, preprocessing and faults."""
    from edgekit.system.console import CONTROLS
    from edgekit.targets.inspection.inspect import inspect_file

    found = inspect_file(file)
    if json:
        from json import dumps

        print(dumps(found, indent=2, ensure_ascii=False))
    else:  # names come from the file, and a terminal would obey control characters in them
        lines = _lines(found) if "snippet" in found else _other_lines(found)
        print("\n".join(lines).translate(CONTROLS))


def _lines(found: dict[str, Any]) -> list[str]:
    """The same for a person, without colours or boxes, so that it can be piped and compared."""
    from edgekit.targets import registry
    from edgekit.targets.schemes import scheme_in_words

    metadata = found["metadata"]
    lines = [*_head(found), f"scheme      {scheme_in_words(found['scheme'])}"]
    if len(found["weights"]) > 1:
        counts = ", ".join(f"{name} in {count}" for name, count in found["weights"].items())
        lines.append(f"weights     {counts} operators")
    lines += [_end("input", end) for end in found["inputs"]]
    lines += [_end("output", end) for end in found["outputs"]]
    lines += _task(found)
    if metadata["name"]:
        lines.append(f"name        {metadata['name']}")
    lines += _labels(metadata["labels"], found["labels_note"])
    if metadata["preprocessing"]:
        lines.append(_prepared(metadata["preprocessing"]))
    elif metadata["mean"]:
        lines.append(f"prepared    mean {metadata['mean']}, std {metadata['std']}")
    lines += ["", f"{'operator':28} {'version':>7} {'TF 2.5':>7} {'count':>6}"]
    for op in found["operators"]:
        newest = op["newest_in_tf_2_5"] or "-"
        lines.append(f"{op['name']:28} {op['version']:>7} {newest:>7} {op['count']:>6}")
    for target in registry.usable():
        if described := found.get(target.name):
            lines += target.compiled_lines(described)
    lines += _findings(found)
    if found["snippet"]:
        lines += ["", "# run it", found["snippet"].rstrip()]
    elif found["needs_normalization"]:
        lines += [
            "",
            "The file does not say how a photo is normalised: there is no program for it.",
        ]
        lines.append("edgekit run takes --mean and --std, as it was trained.")
    return lines


def _other_lines(found: dict[str, Any]) -> list[str]:
    """Of a .onnx file or an OpenVINO IR."""
    lines = _head(found)
    if len(found["files"]) > 1:
        lines.append(f"files       {', '.join(found['files'])}")
    for kind in ("input", "output"):
        for end in found[f"{kind}s"]:
            shape = "of unknown shape" if end["shape"] is None else end["shape"]
            lines.append(f"{kind:11} {end['dtype']} {shape}  ({end['name']})")
    lines += _task(found)
    lines += _labels(found["labels"], found["labels_note"])
    if found["preprocessing"]:
        lines.append(_prepared(found["preprocessing"]))
    lines += ["", f"{'operator':36} {'count':>6}"]
    lines += [f"{op['name']:36} {op['count']:>6}" for op in found["operators"]]
    return [*lines, *_findings(found)]


def _task(found: dict[str, Any]) -> list[str]:
    """What it is for, where it is no classifier."""
    from edgekit.system.text import size

    made = found["map"]
    if made:
        what = "the class" if made["classes"] is None else f"{made['classes']} logits"
        memory = f" ({size(found['map_bytes'])} a photo)" if found.get("map_bytes") else ""
        where = f"{made['height']} x {made['width']} pixels"
        return [f"segmenter   {what} at each of {where}{memory}"]
    if rows := found.get("rows"):
        numbers = " and ".join(map(str, rows["columns"]))
        return [f"detector    {numbers} numbers at each of {rows['count']} anchors"]
    if boxes := found.get("boxes"):
        return [f"detector    up to {boxes['most']} boxes of {boxes['classes']} classes"]
    problem = found["not_a_classifier"]
    return [f"classifier  no: {problem}"] if problem else []


def _head(found: dict[str, Any]) -> list[str]:
    from edgekit.system.text import size

    return [
        f"{found['path']}: {found['scheme']}, {size(found['size_bytes'])}",
        f"sha256      {found['sha256']}",
    ]


def _labels(labels: list[str], note: str | None) -> list[str]:
    more = f", … ({len(labels)} in all)" if len(labels) > 8 else ""
    first = ", ".join(label if len(label) <= 60 else label[:59] + "…" for label in labels[:8])
    line = f"labels      {first + more if labels else 'none in the file'}"
    return [line, f"            {note}"] if note else [line]


def _prepared(preprocessing: dict[str, Any]) -> str:
    record = {k: v for k, v in preprocessing.items() if k != "labels"}
    return "prepared    " + ", ".join(f"{k} {v}" for k, v in record.items())


def _findings(found: dict[str, Any]) -> list[str]:
    lines = []
    for target, findings in found["findings"].items():
        lines += ["", f"{target}: {len(findings) or 'no'} finding{'s' * (len(findings) != 1)}"]
        lines += [
            f"  {f['severity']}: {f['where']}: {f['message']}\n    {f['fix']}" for f in findings
        ]
    return lines


def _end(kind: str, end: dict[str, Any]) -> str:
    quantized = end["scale"] is not None
    scale = f", scale {end['scale']:.8g}, zero point {end['zero_point']}" if quantized else ""
    return f"{kind:11} {end['dtype']} {end['shape']}{scale}  ({end['name']})"
