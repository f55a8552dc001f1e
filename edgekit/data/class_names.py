"""Names of classes: one for those that read the same, and none that a later file cannot hold.

Labels come from folders, lists and shards; they go to ``labels.txt`` (a label a line), into the
metadata of model files (a label a line in TFLite's, XML in OpenVINO's), and onto devices.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import shorten

from edgekit.data.photo_files import Listing
from edgekit.errors import UsageError

SHOWN = 3

# By Unicode's general category. XML 1.0 has no way to write the last two.
_REFUSED = {
    "Cc": "a control character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
    "Cs": "half of a surrogate pair",
    "Cn": "a code point that is no character",
}
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85"


def canonical(label: str) -> str:
    """Returns the label without blanks around it, composed (NFC).

    The two forms of 'é' read the same. macOS writes the decomposed one into archives, keyboards
    and most programs write the composed one.
    """
    return unicodedata.normalize("NFC", label).strip()


def clean_labels(listing: Listing, option: str) -> Listing:
    """Gives the photos of a listing labels that can be used, and says which of them were merged.

    Raises:
        UsageError: a label cannot be written to the files that hold labels.
    """
    labels = listing.label_counts()
    bad = {label: problem for label in labels if (problem := problem_of(label))}
    if bad:
        raise _unusable(listing, option, bad)
    return replace(with_canonical_labels(listing), warnings=(*listing.warnings, *_merged(labels)))


def with_canonical_labels(listing: Listing) -> Listing:
    """Gives the photos of a listing canonical labels; none is refused."""
    known = {label: canonical(label) for label in listing.label_counts()}
    if all(label == plain for label, plain in known.items()):
        return listing
    return listing.relabelled(known)


def problem_of(label: str) -> str | None:
    """Returns why no file of labels can hold a label; None where it can."""
    for character in label:
        kind = _REFUSED.get(unicodedata.category(character))
        # Unassigned ones may be letters of a newer Unicode; the last two of a plane never are.
        if kind and (unicodedata.category(character) != "Cn" or ord(character) & 0xFFFE == 0xFFFE):
            what = "a line break" if character in _BREAKS else kind
            return f"it holds {what} (U+{ord(character):04X})"
    return None if _look(label) else "nothing of it can be seen"


def check_names(labels: Sequence[str], source: str) -> tuple[str, ...]:
    """Returns the names of classes in the form in which files hold them.

    Args:
        labels: as a data set has them.
        source: where they are from, for messages.

    Raises:
        UsageError: no file of labels can hold one, or two are alike.
    """
    names = tuple(map(canonical, labels))
    for label in names:
        problem = problem_of(label) or (names.count(label) > 1 and "two classes have it")
        if problem:
            raise UsageError(
                f"a class in {source} has a name that no file of labels can hold",
                cause=f"{label!r}: {problem}",
                hint="rename the class",
            )
    return names


def some_names(labels: Sequence[str]) -> str:
    """Returns the first names of classes, for messages."""
    return ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "") if labels else "no names"


def _unusable(listing: Listing, option: str, bad: dict[str, str]) -> UsageError:
    named = [f"{_shown(label)}: {problem}" for label, problem in list(bad.items())[:SHOWN]]
    first = next(file for file in listing.files if file.label in bad)
    few = f"{len(bad)} classes have names" if len(bad) > 1 else "a class has a name"
    return UsageError(
        f"{few} that no file of labels can hold, in {option} {listing.source}",
        cause="; ".join(named) + ("; …" if len(bad) > SHOWN else ""),
        hint=f"rename the folder, or change the label; one of its photos is {_shown(first.name)}",
    )


def _shown(text: str) -> str:
    """A name in quotes in which what cannot be seen is spelled out."""
    return repr(text if len(text) <= 100 else text[:99] + "…")


def _merged(labels: Counter[str]) -> Iterator[str]:
    """Yields what was done about labels that read the same, and those that almost do."""
    forms: dict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        forms[canonical(label)].append(label)
    for label, written in forms.items():
        if len(written) > 1:
            each = " and ".join(f"{form!a} ({labels[form]} photos)" for form in written)
            yield f"'{label}' is written in {len(written)} ways, taken for one class: {each}"
    alike: dict[str, list[str]] = defaultdict(list)
    for label in forms:
        alike[_look(label)].append(label)
    for written in alike.values():
        if len(written) > 1:
            named = shorten(", ".join(map(ascii, written)), 200)
            yield f"{len(written)} classes have names that look almost alike: {named}"


def _look(label: str) -> str:
    """What a reader who skims it sees of a label, and OpenVINO's ``model_info``."""
    text = unicodedata.normalize("NFKC", label).casefold().replace("_", " ")
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())
