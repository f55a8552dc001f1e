"""Which tensors of a file are one network's: the dictionaries and the prefix that they stand under.

Training code wraps the weights as it likes, and modules that hold the network put their names
before its own. A checkpoint may hold the network twice: as trained, and averaged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import named

#: How averaged weights are called, in a key or in the name of a module.
AVERAGED = r"(.*[._/])?(ema|swa|averaged?|shadow)([._/].*)?"
#: Of several networks, the first that stands under one of these is the one that was trained.
USUAL = ("state_dict", "model_state_dict", "model", "module", "net", "network", "")
#: What a training run keeps beside a network: its optimizer, that one's slots, and counters.
BESIDE = r"(.*[._/])?(optim|\w*optimizers?\w*|\w*scheduler\w*|scaler|\w*rng\w*)[._/].*"
SLOTS = r"(.*[._/])?((max_)?exp_avg(_sq)?|momentum_buffer|square_avg|grad_avg|acc_delta)"
COUNTERS = r"(.*[._/])?(num_batches_tracked|n_averaged|global_step|epoch|step)"


#: Tensors that are named.
SHOWN = 12


def find_network(
    file: WeightFile, prefixes: Sequence[str], ema: bool
) -> tuple[WeightFile, tuple[str, ...]]:
    """Chooses the network, and says what else the file holds.

    Args:
        file: the whole file.
        prefixes: what stands before each network in it.
        ema: whether an averaged one is taken where there is another.

    Returns:
        The tensors of the network alone, and notes.
    """
    averaged = [prefix for prefix in prefixes if re.fullmatch(AVERAGED, prefix)]
    raw = [prefix for prefix in prefixes if prefix not in averaged]
    chosen = min((averaged if ema and averaged else raw) or averaged, key=_usual)
    others = [prefix for prefix in prefixes if prefix != chosen]
    notes = []
    if chosen in averaged:
        notes.append(f"the averaged weights were used ('{_key(chosen)}')")
    if others:
        keys = ", ".join(f"'{_key(prefix)}'" for prefix in others)
        notes.append(f"the file holds the network more than once; not used: {keys}")
    rest = [
        name
        for name in file.shapes
        if not any(name.startswith(prefix) for prefix in prefixes) and not _is_beside(name)
    ]
    if rest:
        notes.append(f"not used, as it stands elsewhere in the file: {named(rest, SHOWN)}")
    shapes = {
        name: shape
        for name, shape in file.shapes.items()
        if chosen or not (any(name.startswith(prefix) for prefix in others) or _is_beside(name))
    }
    return replace(file, shapes=shapes).under(chosen), tuple(notes)


def _is_beside(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in (BESIDE, SLOTS, COUNTERS))


def _usual(prefix: str) -> int:
    """The place of a prefix among the usual ones; the others come last, as in the file."""
    first = prefix.partition(".")[0]
    return USUAL.index(first) if first in USUAL else len(USUAL)


def _key(prefix: str) -> str:
    return prefix.rstrip("./") or "the top"
