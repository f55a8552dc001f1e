from __future__ import annotations

import pytest
from places import SHARED
from prerequisites import needs

from edgekit.targets.edgetpu.evidence import Evidence, documented, issue, log, pair, public
from edgekit.targets.edgetpu.limits import REPLACE
from edgekit.targets.edgetpu.operators import (
    CUSTOM,
    DOUBTS,
    EVERY,
    KNOWN,
    LIMITS,
    SIZES,
    UNMAPPED,
)
from edgekit.targets.edgetpu.rules import EVIDENCE, REQUIREMENTS


def named() -> dict[str, tuple[Evidence, ...]]:
    """The evidence of everything that leaves an operator, or a file, on the CPU."""
    rows = {f"every {limit.find.__name__}": limit.evidence for limit in EVERY}
    for name, limits in LIMITS.items():
        rows |= {f"{name} {limit.find.__name__}": limit.evidence for limit in limits}
    for name, sizes in SIZES.items():
        rows |= {
            f"{name} {size.size.__name__}": size.evidence
            for size in sizes
            if size.left_out is not None
        }
    rows |= {f"{name} doubt": doubt.evidence for name, doubt in DOUBTS.items()}
    return rows | UNMAPPED | CUSTOM | EVIDENCE


@pytest.mark.parametrize(("row", "evidence"), named().items())
def test_every_rule_names_what_showed_it(row, evidence):
    assert evidence
    assert all(found.name for found in evidence)


def test_every_requirement_of_a_file_names_what_showed_it():
    assert EVIDENCE.keys() == {rule.name for rule in REQUIREMENTS} | {"maps"}


def test_a_size_that_was_never_seen_left_out_leaves_nothing_out():
    for size in [size for sizes in SIZES.values() for size in sizes]:
        assert size.left_out is None or size.mapped < size.left_out


@needs("shared", SHARED.is_dir())
@pytest.mark.parametrize(
    "evidence", sorted({e for row in named().values() for e in row}, key=str), ids=str
)
def test_files_that_are_named_exist(evidence):
    match evidence.kind:
        case "pair":
            for name in (evidence.name, f"{evidence.name}_edgetpu"):
                assert (SHARED / f"edgetpu/pairs/{name}.tflite").is_file()
        case "log":
            folders = (SHARED / "edgetpu/logs", SHARED / "cases/logs")
            assert any((folder / evidence.name).is_file() for folder in folders)
        case "issue":
            assert int(evidence.name) > 0
        case kind:
            assert kind in ("file", "documentation")


def test_an_operator_is_known_or_left_out_and_never_both():
    assert not KNOWN & UNMAPPED.keys()
    assert LIMITS.keys() | SIZES.keys() <= KNOWN


def test_what_is_doubted_is_known():
    assert DOUBTS.keys() <= KNOWN


def test_advice_is_for_operators_that_are_left_out():
    assert REPLACE.keys() <= UNMAPPED.keys() | CUSTOM.keys()


def test_evidence_reads_as_a_source():
    assert str(issue(461)) == "google-coral/edgetpu issue 461"
    assert str(pair("dense_256")) == "pair dense_256"
    assert str(log("a.log")) == "log a.log"
    assert str(documented("No padding")) == 'coral.ai: "No padding"'
    assert str(public("owner/name", "x.tflite")) == "file owner/name, x.tflite"
