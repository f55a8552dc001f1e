"""With Rockchip's own compiler and simulator."""

from __future__ import annotations

import numpy as np
import pytest
from npu_files import skip_without, write
from pooled import pixels

from edgekit.errors import CompileError, GateError
from edgekit.runtimes.onnx import OnnxRuntime
from edgekit.targets.npus.file import NCHW
from edgekit.targets.rknn.compiler import WORKER, compile_file, simulate
from edgekit.targets.rknn.options import PLATFORMS, CompilerOptions
from edgekit.targets.rknn.target import TOOLCHAIN, RKNNTarget
from edgekit.targets.toolchains.work import Job, run_job

pytestmark = pytest.mark.chips


@pytest.fixture(autouse=True)
def needs_it():
    skip_without(TOOLCHAIN)


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_the_simulator_answers_nearly_as_the_cpu_and_alike_each_time(tmp_path, name):
    path, photos, done = write(tmp_path, name), pixels(8), []
    first, again = (
        simulate(
            TOOLCHAIN, path, photos, CompilerOptions(), lambda n, total: done.append((n, total))
        ).outputs
        for _ in range(2)
    )
    cpu = OnnxRuntime(path).run(photos)
    step = np.ptp(cpu) / 255  # of the logits, about
    assert np.array_equal(first, again)
    assert np.abs(first - cpu).max() <= 13 * step
    assert done[-1] == (8, 8)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_file_is_made_for_each_chip(tmp_path, platform):
    path = write(tmp_path, "b0")
    made = compile_file(TOOLCHAIN, path, tmp_path, CompilerOptions(platform=platform))
    assert made.model.name == f"b0_{platform}.rknn"
    assert (made.mapped, made.on_cpu) in ((55, 1), (56, 0))
    assert made.chip.memory.keys() == {"internal", "weights", "file"}
    assert made.figures[0]["messages"]


def test_fewer_mapped_than_asked_for_is_a_gate(tmp_path):
    path = write(tmp_path, "lite0")
    with pytest.raises(GateError, match="are mapped, not 100 %"):
        compile_file(TOOLCHAIN, path, tmp_path, CompilerOptions(min_mapped=100))
    assert (tmp_path / "lite0_rk3588.rknn").exists()


def test_messages_of_the_compiler_are_findings(tmp_path):
    examined = RKNNTarget().examine(write(tmp_path, "lite0"))
    (finding,) = examined.findings
    assert finding.message == "RKNN-Toolkit2 says: Unkown op target: 0"
    assert examined.refusals == ()
    assert examined.prediction.mapped > 20


def test_what_it_does_not_take_is_told(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"nothing")
    arguments = {"model": str(path), "platform": "rk3588", "optimization_level": 3, "out": "x"}
    with pytest.raises(CompileError, match="RKNN-Toolkit2 does not take the model"):
        run_job(TOOLCHAIN, Job(WORKER, "compile", arguments), timeout_s=180)


def test_estimates_are_the_compilers(tmp_path):
    figures = RKNNTarget().estimate(write(tmp_path, "b0"))
    assert figures.mapped == 55
    assert figures.memory["internal"] > 10_000


def test_a_build_has_a_row_of_it(tmp_path, monkeypatch):
    from narrow import make_narrow

    import edgekit

    make_narrow(["lite0"], monkeypatch)
    small = {"weights": "none", "resolution": 32, "epochs": 0, "calibration_count": 16}
    run = edgekit.build(
        "lite0", out=tmp_path / "run", targets=["rknn"], simulator_limit=8, threads=1, **small
    )
    assert run.problem is None
    (chip,) = run.document["chips"]
    assert (chip["row"]["stage"], chip["kind"], chip["row"]["n"]) == ("w8a8-rknn", "simulator", 8)
    assert chip["figures"]["mapped"] > 20
    assert NCHW.row in {row["stage"] for row in run.rows}
    assert run.document["targets"][0]["status"] == "compiled"
