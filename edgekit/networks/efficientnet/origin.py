"""Where a Graph of this family comes from: its variant, as the plain data that the Graph keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as fields_of
from typing import Any

from edgekit.errors import UsageError
from edgekit.networks.decoders import decoder_record, read_decoder
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph

FAMILY = "efficientnet"
#: Fields that files of before do not have, and files of today only where they are not the default.
LATER = ("stem_layers", "head_layers", "hidden", "shrinks_head", "squeeze_rule")
_DEFAULTS = {field.name: field.default for field in fields_of(ModelSpec)}


def origin_of(spec: ModelSpec) -> dict[str, Any]:
    """What a Graph that is built from a variant keeps of it (`Graph.origin`)."""
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items()}
    # Files of networks without a decoder are those of before there was one.
    decoder = {"decoder": decoder_record(spec.decoder)} if spec.decoder else {}
    unsaid = [name for name in LATER if fields[name] == _DEFAULTS[name]]
    for name in ("decoder", *unsaid):
        del fields[name]
    return {"family": FAMILY, **fields, **decoder}


def spec_of(graph: Graph) -> ModelSpec | None:
    """The variant that a Graph was built from; None where its origin is of no variant.

    Raises:
        UsageError: its origin has other fields than a variant has.
    """
    try:
        return spec_in(graph.origin)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the origin of {graph.name} is damaged", cause=str(error)) from error


def spec_in(origin: Mapping[str, Any] | None) -> ModelSpec | None:
    """The variant of an origin; None where it is of no variant.

    Raises:
        KeyError, TypeError or ValueError: it has other fields than a variant has.
    """
    # Files that name no family are older than that word, and of this one.
    if origin is None or origin.get("family", FAMILY) != FAMILY:
        return None
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in origin.items()}
    fields.pop("family", None)
    if fields.get("decoder") is not None:
        fields["decoder"] = read_decoder(fields["decoder"])
    return ModelSpec(**fields)
