"""``edgekit weights import`` and ``edgekit weights verify``: weights of others, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.options.training import SOURCES

if TYPE_CHECKING:
    from edgekit.converters.weights.load import Loaded
    from edgekit.converters.weights.open import Advice
    from edgekit.networks.efficientnet.spec import ModelSpec

app = typer.Typer(
    help="Read weights of Keras, PyTorch's libraries or TensorFlow 1; fetch published ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FILE = Annotated[
    Path,  # so that a shell completes it
    typer.Argument(
        help="safetensors, .pth, .h5, .weights.h5, .keras, a TF 1 checkpoint, hf://ORG/NAME, or a "
        "tag of timm's."
    ),
]
MODEL = Annotated[str, typer.Option("--model", help="The variant: b0, lite0, v2-s, …")]
WIDTH = Annotated[
    float | None,
    typer.Option("--width", help="Of a scaled variant, as in a build.", show_default=False),
]
DEPTH = Annotated[
    float | None,
    typer.Option("--depth", help="Of a scaled variant, as in a build.", show_default=False),
]
DECODER = Annotated[
    str | None,
    typer.Option("--decoder", help="Its channels, as in a build.", show_default=False),
]
OUTPUT_STRIDE = Annotated[
    int | None,
    typer.Option("--output-stride", help="Of DeepLab, as in a build.", show_default=False),
]
ASPP_RATES = Annotated[
    str | None,
    typer.Option("--aspp-rates", help="Of DeepLab, as in a build.", show_default=False),
]
SOURCE = Annotated[
    str,
    typer.Option("--source", help=f"Whose names the file uses: {', '.join(SOURCES)}."),
]
NO_EMA = Annotated[
    bool, typer.Option("--no-ema", help="Raw weights where the file has averaged ones as well.")
]
CLASSES = Annotated[
    int | None,
    typer.Option(
        "--classes", min=1, help="Number of classes. [as in the file]", show_default=False
    ),
]
RESOLUTION = Annotated[
    int | None,
    typer.Option(
        "--resolution", min=32, max=2048, help="Input in pixels. [by model]", show_default=False
    ),
]


def _find(
    model: str,
    width: float | None,
    depth: float | None,
    decoder: str | None,
    output_stride: int | None,
    aspp_rates: str | None,
) -> ModelSpec:
    """The variant that the options name."""
    from edgekit.networks.efficientnet.find import find_spec
    from edgekit.networks.efficientnet.scaling import scale_spec
    from edgekit.options.decoder import with_decoder_options

    spec = with_decoder_options(
        find_spec(model), decoder=decoder, output_stride=output_stride, aspp_rates=aspp_rates
    )
    return scale_spec(spec, width=width, depth=depth)


def _received(file: Path, spec: ModelSpec) -> Path:
    """The file, fetched where its name is that of weights on a hub."""
    from edgekit.networks.efficientnet.hub.reference import find_reference

    name = file.as_posix()
    # A path keeps one of two slashes.
    reference = find_reference(name.replace("hf:/", "hf://", 1) if name[:4] == "hf:/" else name)
    if reference is None:
        return file
    from edgekit.networks.efficientnet.hub.fetch import fetch_from_hub
    from edgekit.system.console import Console

    console = Console()
    note, progress = console.note, console.progress
    with console.stage(1, 1, f"fetch {reference}"):
        return fetch_from_hub(reference, spec, note=note, progress=progress).path


@app.command("import")
def import_weights(
    file: FILE,
    model: MODEL,
    out: Annotated[Path, typer.Option("-o", "--out", help="The .safetensors file to write.")],
    width: WIDTH = None,
    depth: DEPTH = None,
    decoder: DECODER = None,
    output_stride: OUTPUT_STRIDE = None,
    aspp_rates: ASPP_RATES = None,
    source: SOURCE = "auto",
    no_ema: NO_EMA = False,
    classes: CLASSES = None,
    resolution: RESOLUTION = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Read weights strictly and write them as a network of edgekit's own."""
    from edgekit.converters.weights.load import load_weights
    from edgekit.errors import UsageError
    from edgekit.system.hashing import hash_file

    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", hint="--overwrite, or another file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"no folder {out.parent}")
    spec = _find(model, width, depth, decoder, output_stride, aspp_rates)
    loaded = load_weights(
        _received(file, spec),
        spec,
        classes=classes,
        resolution=resolution,
        source=source,
        ema=not no_ema,
        advice=_advice("--classes N"),
    )
    loaded.graph.save(out)
    _print({**_described(loaded), "file": str(out), "sha256": hash_file(out)}, json)


@app.command("verify")
def verify(
    file: FILE,
    model: MODEL,
    width: WIDTH = None,
    depth: DEPTH = None,
    decoder: DECODER = None,
    output_stride: OUTPUT_STRIDE = None,
    aspp_rates: ASPP_RATES = None,
    source: SOURCE = "auto",
    no_ema: NO_EMA = False,
    resolution: RESOLUTION = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="An .npz with input_nhwc and the logits to expect.", show_default=False),
    ] = None,
    json: Json = False,
) -> int:
    """Read weights strictly, run the network, and compare its logits with the original's."""
    from edgekit.converters.weights.load import load_weights
    from edgekit.converters.weights.verify import (
        TOLERANCE,
        Comparison,
        check_logits,
        compare,
        compare_with_reference,
    )
    from edgekit.errors import GateError, MissingToolError

    spec = _find(model, width, depth, decoder, output_stride, aspp_rates)
    path = _received(file, spec)
    loaded = load_weights(
        path,
        spec,
        resolution=resolution,
        source=source,
        ema=not no_ema,
        advice=_advice(None),
    )
    check_logits(loaded.graph)
    missing = None
    try:
        found = (
            compare(path, loaded)
            if reference is None
            else compare_with_reference(reference, loaded)
        )
    except MissingToolError as error:  # what was checked so far is worth saying
        missing, found = error, Comparison(error.message)
    record = _described(loaded)
    record["checked"] = "names, shapes and values of every tensor; logits of random pixels"
    if found.difference is None:
        record["compared"] = f"not compared: {found.against}"
    else:
        record["compared"] = f"with {found.against}"
        record["largest difference"] = found.difference
        record["tolerance"] = TOLERANCE
    _print(record, json)
    if missing is not None:
        raise missing
    if not found.agrees:
        raise GateError(
            "the logits are not the original's",
            cause=f"the largest difference is {found.difference:.2g} of the largest logit, "
            f"the tolerance {TOLERANCE:g}",
            hint="another --source, or --no-ema for raw weights"
            + ("; other --aspp-rates or --output-stride" if hasattr(spec.decoder, "rates") else ""),
        )
    return 0


def _advice(classes: str | None) -> Advice:
    """How these commands call their options."""
    from edgekit.converters.weights.open import Advice

    return Advice("--source {}", "--no-ema", classes, None, "--decoder {}")


def _described(loaded: Loaded) -> dict[str, Any]:
    """What was read, for people and programs alike."""
    from edgekit.networks.cost import cost
    from edgekit.networks.efficientnet.origin import spec_of

    graph, spec = loaded.graph, spec_of(loaded.graph)
    record: dict[str, Any] = {
        "model": graph.name,
        "source": loaded.source,
        "tensors": len(graph.weights),
        "parameters": cost(graph).parameters,
        "classes": graph.classes,
        "resolution": graph.resolution,
    }
    if spec is not None:
        record |= {
            "padding": spec.padding,
            "epsilon": spec.epsilon,
            "mean": list(spec.mean),
            "std": list(spec.std),
            "interpolation": spec.interpolation,
            "crop": spec.crop,
        }
    if spec is not None and spec.decoder is not None:
        from edgekit.networks.decoders import decoder_record
        from edgekit.networks.segmentation.decoders import DeepLab

        record["decoder"] = decoder_record(spec.decoder)
        if isinstance(spec.decoder, DeepLab):
            record["decoder"]["rates"] = list(spec.decoder.atrous_rates)
    return {**record, "notes": list(loaded.notes), "assumptions": list(loaded.assumptions)}


def _print(record: dict[str, Any], json: bool) -> None:
    from edgekit.system.console import CONTROLS

    if json:
        from json import dumps

        print(dumps({k.replace(" ", "_"): v for k, v in record.items()}, indent=2))
        return
    notes, assumptions = record.pop("notes"), record.pop("assumptions")
    lines = [f"{name:<19}{_text(value)}" for name, value in record.items()]
    lines += [f"note: {text}" for text in notes]
    lines += [f"assumed: {text}" for text in assumptions]
    print("\n".join(lines).translate(CONTROLS))  # names come from the file


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
