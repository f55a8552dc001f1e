"""``edgekit models [NAME]``: the variants, what they cost, and what others measured of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.targets import registry

if TYPE_CHECKING:
    from edgekit.targets.base import Target


def command(
    name: Annotated[str | None, typer.Argument(help="One variant.", show_default=False)] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help=f"What they cost there: {registry.DEFAULT}.", metavar="NAME", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the variants: cost, size in int8, risk of quantization. NAME shows all of one."""
    import sys

    from edgekit.networks.efficientnet.catalog import list_models
    from edgekit.system.console import safe

    found = registry.find(target) if target else None
    rows = _on_target(name, found) if found else list_models(name)
    if json:
        from json import dumps

        print(dumps(rows, indent=2, ensure_ascii=False))
    else:
        lines = found.costs_table(rows) if found else _card(rows[0]) if name else _table(rows)
        print(safe("\n".join(lines), sys.stdout))


def _on_target(name: str | None, target: Target) -> list[dict[str, Any]]:
    from edgekit.errors import UsageError
    from edgekit.networks.efficientnet.find import find_spec
    from edgekit.networks.efficientnet.spec import SPECS

    found = [target.costs(spec) for spec in ([find_spec(name)] if name else SPECS.values())]
    if None in found:
        raise UsageError(
            f"no costs are known for the target {target.name}", hint=f"--target {registry.DEFAULT}"
        )
    return [costs for costs in found if costs is not None]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    from edgekit.networks.efficientnet.baselines import BASELINES
    from edgekit.system.text import percent

    lines = [
        f"{'name':<6}{'parameters':>12}{'MACs (M)':>9}{'px':>5}  {'activation':<10}"
        f"{'peak (M)':>9}{'int8 MB':>9}{'fp32 %':>8}  int8 risk"
    ]
    others = [row for row in rows if row["name"] in BASELINES]
    for row in rows[: len(rows) - len(others)]:
        top1 = next(
            (f["fp32_top1"] / 100 for f in row["published"] if f["int8_top1"] is None), None
        )
        activation = row["activation"] + (" + SE" if row["squeeze_excite"] else "")
        lines.append(
            f"{row['name']:<6}{row['parameters']:>12,}{row['macs'] / 1e6:>9,.0f}"
            f"{row['resolution']:>5}  {activation:<10}{row['peak_activation'] / 1e6:>9.1f}"
            f"{row['int8_file_bytes'] / 1e6:>9.1f}{percent(top1):>8}  {row['quantization_risk']}"
        )
    return [
        *lines,
        "",
        *_others(others),
        "",
        "At 1000 classes. peak: elements of activation, which are bytes in int8.",
        "int8 MB: of the file, estimated. fp32 %: ImageNet top-1, as published.",
        "`edgekit models NAME` has the figures' sources.",
        "unet-NAME and deeplab-NAME are for segmentation, on each of them; d0 to d7, d7x,",
        "det-lite0 to det-lite4, det-lite3x, and det-NAME on the rest of the family, for",
        "detection.",
    ]


def _others(rows: list[dict[str, Any]]) -> list[str]:
    """The baselines, whose names are longer."""
    return [
        f"{'of others':<33}{'parameters':>12}{'MACs (M)':>9}{'px':>5}  activation",
        *(
            f"{row['name']:<33}{row['parameters']:>12,}{row['macs'] / 1e6:>9,.0f}"
            f"{row['resolution']:>5}  {row['activation']}{' + SE' * row['squeeze_excite']}"
            for row in rows
        ),
    ]


def _card(row: dict[str, Any]) -> list[str]:
    """Everything about one variant; the sources are numbered, and stand at the end."""
    from edgekit.system.text import size

    gates = " + squeeze-excite" if row["squeeze_excite"] else ""
    lines = [
        row["name"],
        f"  parameters   {row['parameters']:,}, at {row['classes']} classes",
        f"  MACs         {row['macs'] / 1e6:,.0f} million",
        f"  resolution   {row['resolution']} px",
        f"  activation   {row['activation']}{gates}",
        f"  peak memory  {size(row['peak_activation'])} of activations in int8",
        f"  int8         about {size(row['int8_bytes'])} of weights, "
        f"{size(row['int8_file_bytes'])} as a file (estimates)",
        f"  int8 risk    {row['quantization_risk']}: {row['quantization_reason']}",
    ]
    if row["decoder"]:
        lines.insert(1, f"  decoder      {_decoder(row['decoder'])}")
    if row["coco_ap"]:
        fp32, int8 = row["coco_ap"]
        shown = f", {int8:g} % in int8" if int8 else ""
        lines.append(f"  COCO AP      {fp32:g} %{shown}, as published (google/automl)")
    facts = [*row["published"], *row["latency"], *row["traps"]]
    sources = list(dict.fromkeys(fact["source"] for fact in facts))
    sections = {
        "ImageNet top-1, as published": (
            f"  {'fp32':>6} {'int8':>6} {'drop':>6}  method",
            [_accuracy(figure) for figure in row["published"]],
            row["published"],
        ),
        "latency, as published": (
            f"  {'ms':>6}  device",
            [f"  {f['ms']:>6g}  {f['device']}, {f['precision']}{_note(f)}" for f in row["latency"]],
            row["latency"],
        ),
        "traps": ("", [f"  {trap['text']}" for trap in row["traps"]], row["traps"]),
    }
    for title, (header, texts, figures) in sections.items():
        if texts:
            lines += ["", title, *filter(None, [header])]
            lines += [
                f"{text} [{sources.index(figure['source']) + 1}]"
                for text, figure in zip(texts, figures, strict=True)
            ]
    lines += ["", "sources" if sources else "Nothing published is known."]
    return [*lines, *(f"  [{n}] {source}" for n, source in enumerate(sources, 1))]


def _decoder(record: dict[str, Any]) -> str:
    if record["kind"] == "unet":
        return f"U-Net, channels {', '.join(map(str, record['channels']))}"
    if record["kind"] == "efficientdet":
        anchors = record["anchors"]
        return (
            f"EfficientDet, {record['channels']} channels, {record['cells']} cells "
            f"({record['fusion']}), {record['repeats']} repeats, anchors of "
            f"{anchors['scale']:g} strides"
        )
    return f"DeepLabV3+, {record['channels']} channels, output stride {record['output_stride']}"


def _accuracy(figure: dict[str, Any]) -> str:
    from edgekit.system.text import NOTHING, points

    fp32, int8 = figure["fp32_top1"], figure["int8_top1"]
    drop = points(None if int8 is None else fp32 - int8)
    shown = NOTHING if int8 is None else f"{int8:.2f}"
    what = f"{figure['method']}, {figure['toolkit']}"
    return f"  {fp32:>6.2f} {shown:>6} {drop:>6}  {what}{_note(figure)}"


def _note(figure: dict[str, Any]) -> str:
    return f" ({figure['note']})" if figure["note"] else ""
