"""Chips with a Hexagon tensor processor (HTP), by the numbers that Qualcomm's compiler takes."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Soc:
    """A chip.

    Attributes:
        model: its number for the compiler.
        arch: version of its Hexagon tensor processor.
        known_as: what it is sold as, where that is another name.
    """

    model: int
    arch: int
    known_as: str = ""


#: The number, name and architecture that the compiler of onnxruntime-qnn 2.7.0 (QAIRT 2.51) writes
#: into what it compiles (tests/targets/qnn/test_compiler.py compiles for each). For several, such
#: as SC8280X or SM8635, that compiler is the only source. Left out: chips
#: for which it names another architecture than Qualcomm's table in PyTorch's runtime for phones
#: does (backends/qualcomm/serialization/qc_schema.py there).
SOCS = {
    "SM8350": Soc(30, 68, "Snapdragon 888"),
    "SC8280X": Soc(37, 68, "Snapdragon 8cx Gen 3"),
    "SA8295": Soc(39, 68),
    "QCS6490": Soc(93, 68, "Rubik Pi 3, RB3 Gen 2"),
    "SM8450": Soc(36, 69, "Snapdragon 8 Gen 1"),
    "SXR2230P": Soc(53, 69, "Snapdragon XR2 Gen 2"),
    "SM8550": Soc(43, 73, "Snapdragon 8 Gen 2"),
    "SA8255": Soc(52, 73),
    "SC8380XP": Soc(60, 73, "Snapdragon X Elite and Plus"),
    "QCS8550": Soc(66, 73),
    "SM8635": Soc(68, 73, "Snapdragon 8s Gen 3"),
    "QCS9100": Soc(77, 73),
    "SM8650": Soc(57, 75, "Snapdragon 8 Gen 3"),
    "QCS8300": Soc(82, 75),
    "SM8750": Soc(69, 79, "Snapdragon 8 Elite"),
    "SXR2330P": Soc(75, 79),
    "SM8850": Soc(87, 81, "Snapdragon 8 Elite Gen 5"),
    "SC8480XP": Soc(88, 81, "Snapdragon X2 Elite"),
}
DEFAULT = "SM8650"


def find_soc(name: str) -> Soc:
    """Returns a chip by its name.

    Raises:
        UsageError: it is not in the table.
    """
    try:
        return SOCS[name.upper()]
    except KeyError:
        raise UsageError(f"unknown chip '{name}'", hint=did_you_mean(name, SOCS)) from None
