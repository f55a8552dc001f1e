"""Builds for chips: a maker's tool runs in a process of its own, and may be missing or fail."""

import pytest
from chip_target import ChipTarget
from narrow import make_narrow
from report_page import check_page

import edgekit
from edgekit.errors import CompileError, EdgekitError, MissingToolError, UsageError
from edgekit.options.build import BuildOptions
from edgekit.pipeline.build import run_build
from edgekit.system.console import NullConsole
from edgekit.targets import registry

SMALL = {
    "weights": "none",
    "resolution": 32,
    "epochs": 0,
    "calibration_count": 16,
    "threads": 1,
    "quantize": "ranges",
    "simulator_limit": 20,
}


@pytest.fixture(scope="module", autouse=True)
def a_chip():
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(["lite0"], patch)
        patch.setitem(registry.OWN, "chip", f"{ChipTarget.__module__}:ChipTarget")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("chip") / "run"


def run(folder, *settings):
    given = tuple(f"chip.{text}" for text in settings)
    return edgekit.build(
        "lite0", out=folder, targets=("tflite", "chip"), target_options=given, **SMALL
    )


@pytest.fixture(scope="module")
def right(folder):
    return run(folder)


def test_a_chip_that_computes_alike_has_the_same_bits(right):
    (chip,) = right.document["chips"]
    check_page(right.document, has=("chips",), lacks=("training.",))  # no epoch
    assert right.problem is None
    assert (chip["same"], chip["agreement_int8"], chip["row"]["n"]) == (1.0, 1.0, 20)
    assert chip["figures"]["memory"] == {"file": right.files["w8a8-static"].stat().st_size}
    assert "On chips" in right.files["report.html"].read_text("utf-8")


def test_a_chip_that_computes_otherwise_is_seen(folder, right):
    (chip,) = run(folder, "mode=wrong").document["chips"]
    assert chip["same"] == 0.95
    # It is wrong on the first photo that it is given, whatever part of the file it runs.
    assert chip["first_difference"].startswith("0 QUANTIZE")
    assert chip["row"]["kl"] != right.document["chips"][0]["row"]["kl"]


def test_a_slow_one_runs_on_fewer_photos(folder, right):
    (chip,) = run(folder, "most=5").document["chips"]
    assert chip["row"]["n"] == 5


@pytest.mark.parametrize(
    ("mode", "kind", "says"),
    [
        ("crash", EdgekitError, "SIGABRT"),
        ("refuse", CompileError, "CONV_2D is not for this chip"),
        ("absent", MissingToolError, "edgekit toolchain install absent"),
    ],
)
def test_a_tool_that_fails_ends_no_build(folder, right, mode, kind, says):
    made = run(folder, f"mode={mode}")
    assert type(made.problem) is kind
    entry = made.document["targets"][1]
    assert (entry["status"], made.document["chips"]) == ("ready, incomplete", [])
    assert says in entry["message"]
    assert made.files["report.html"].exists()


def test_an_option_that_no_target_has_is_named(folder):
    options = BuildOptions.make("lite0", targets=("chip",), target_options=("chip.speed=2",))
    with pytest.raises(UsageError, match="no option 'speed'"):
        run_build(options, NullConsole())
