from __future__ import annotations

from io import StringIO

import pytest
from vela_outputs import needs_vela

import edgekit
from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import CompileError, GateError, UsageError
from edgekit.search.choose import choose, demand_one
from edgekit.search.limits import Limits
from edgekit.system.console import Console
from edgekit.targets.executions import ChipFigures

SMALL = {"models": ["lite0"], "widths": [0.1], "classes": 5}


def by_side(path, target):
    """A chip on which a network takes a tenth of a millisecond for each pixel of its side."""
    model = tflite_file.read(path)
    side = model.tensors[model.inputs[0]].shape[1]
    return ChipFigures(latency_ms=side / 10, latency_by="a test", memory={"SRAM": side << 10})


def test_those_that_fit_come_first_the_larger_before_the_smaller():
    found = choose(
        "ethosu", Limits(latency=7), SMALL | {"resolutions": [32, 48, 64, 80]}, ask=by_side
    )
    assert [(one.candidate.resolution, one.fits) for one in found] == [
        *((64, True), (48, True), (32, True), (80, False)),
    ]
    assert found[3].problem == "latency 8.00 ms, not 7.00 ms"


def test_published_accuracy_decides_among_variants_at_their_own_size():
    found = choose("ethosu", {"latency": 99}, {"models": ["lite0", "lite1"]}, ask=by_side)
    assert [one.candidate.variant for one in found[:2]] == ["lite1", "lite0"]
    assert found[0].candidate.top1 > found[1].candidate.top1
    assert all(one.candidate.top1 is None for one in found[2:])


def test_what_is_larger_than_something_far_from_the_limit_is_not_tried():
    asked = []

    def ask(path, target):
        asked.append(path)
        return by_side(path, target)

    found = choose("ethosu", {"latency": 2}, SMALL | {"resolutions": [32, 64, 96]}, ask=ask)
    assert len(asked) == 1
    problems = {one.candidate.resolution: one.problem for one in found}
    assert problems[96] == "larger than lite0-w0.1 at 32 px, which needs 1.6 times the latency"


@pytest.mark.parametrize(("limit", "tried"), [(8, 3), (4, 2)])
def test_another_kind_is_tried_unless_the_limit_is_very_far(limit, tried):
    """B1, the first, takes 16 ms; V2-M at 64 px is larger in everything."""
    answers = iter([16.0, 0.1, 0.1])

    def ask(path, target):
        return ChipFigures(latency_ms=next(answers))

    among = {"models": ["b1", "v2-m"], "resolutions": [32, 64], "widths": [0.1]}
    found = choose("ethosu", {"latency": limit}, among, ask=ask)
    assert sum(one.figures is not None for one in found) == tried


def test_a_file_that_is_too_large_is_not_given_to_the_compiler():
    def ask(path, target):
        raise AssertionError

    (one,) = choose("ethosu", {"size": 1000}, SMALL | {"resolutions": [32]}, ask=ask)
    assert one.problem.startswith("file ")
    assert not one.fits


@pytest.mark.parametrize(("model", "fits"), [("lite0", True), ("v2-b0", False), ("b2", False)])
def test_a_published_drop_is_a_limit_and_what_is_unknown_is_above_it(model, fits):
    (one,) = choose(
        "ethosu",
        {"max_drop": 1.0},
        {"models": [model], "resolutions": [32], "widths": [0.1]},
        ask=by_side,
    )
    assert one.fits is fits


def test_a_limit_of_sram_is_an_option_of_a_compiler_that_has_one():
    options = []

    def ask(path, target):
        options.append(target.options)
        return by_side(path, target)

    (one,) = choose(
        "ethosu",
        {"sram": 40 << 10},
        SMALL | {"resolutions": [32]},
        options={"config": "ethos-u55-256"},
        ask=ask,
    )
    assert options[0].sram_bytes == 40 << 10
    assert one.command == (
        "edgekit build lite0 --data PHOTOS --width 0.1 --resolution 32 --target ethosu "
        "--target-option ethosu.sram=40960 --target-option ethosu.config=ethos-u55-256"
    )


def test_where_nothing_fits_the_nearest_is_named():
    found = choose("ethosu", {"latency": 3}, SMALL | {"resolutions": [32, 40]}, ask=by_side)
    with pytest.raises(GateError, match="none of 2 networks fits") as caught:
        demand_one(found)
    assert caught.value.cause == (
        "the nearest is lite0-w0.1 at 32 px: latency 3.20 ms, not 3.00 ms"
    )


def test_what_a_compiler_refuses_does_not_fit():
    def ask(path, target):
        raise CompileError("no", cause="too wide")

    (one,) = choose("ethosu", {"latency": 3}, SMALL | {"resolutions": [32]}, ask=ask)
    assert one.problem == "too wide"


@pytest.mark.parametrize("target", ["onnx", "qnn", "imx500"])
def test_a_target_that_takes_other_files_says_so(target):
    with pytest.raises(UsageError, match=f"choose is not for the target {target}") as caught:
        choose(target, {"latency": 3}, SMALL | {"resolutions": [32]})
    assert "it takes int8 .onnx" in caught.value.cause


def test_the_edge_tpu_has_published_latencies_and_its_own_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    found = choose("edgetpu", {"latency": 6}, {"models": ["es"], "resolutions": [224, 128]})
    assert [one.fits for one in found] == [True, False]
    assert found[0].figures.latency_by == "as published"
    assert found[0].figures.on_cpu == 0
    assert found[1].problem == "its latency is not known"


def test_this_host_is_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    (one,) = edgekit.choose("tflite", {"latency": 1000}, SMALL | {"resolutions": [32]})
    assert one.fits
    assert one.figures.latency_by.startswith("measured here: LiteRT")
    assert list(tmp_path.iterdir()) == []  # another time it may be faster


def test_progress_is_shown():
    said = StringIO()
    choose(
        *("ethosu", {"latency": 99}), SMALL | {"resolutions": [32]}, ask=by_side,
        console=Console(err=said),
    )  # fmt: skip
    assert "1 networks on Arm's Ethos-U" in said.getvalue()
    assert "1 fit" in said.getvalue()


@pytest.mark.chips
@needs_vela
def test_vela_says_that_lite0_fits_a_megabyte_and_b0_does_not(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    found = choose(
        "ethosu",
        {"sram": 1 << 20, "latency": 20},
        {"models": ["b0", "lite0"], "resolutions": [224]},
    )
    assert [(one.candidate.variant, one.fits) for one in found] == [("lite0", True), ("b0", False)]
    assert found[0].figures.latency_by == "Vela's estimate for ethos-u55-128"
    assert found[0].figures.memory["SRAM"] <= 1 << 20
    assert found[0].figures.on_cpu == 0
