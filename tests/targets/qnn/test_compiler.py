"""With Qualcomm's own compiler and emulation."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from npu_files import flatten_on_integers, skip_without, write
from pooled import pixels

from edgekit.cli import run
from edgekit.converters.onnx import file as onnx_file
from edgekit.errors import CompileError, GateError
from edgekit.runtimes.onnx import OnnxRuntime
from edgekit.targets.npus.file import NCHW
from edgekit.targets.qnn.compiler import WORKER, compile_file, emulate
from edgekit.targets.qnn.options import CompilerOptions
from edgekit.targets.qnn.socs import DEFAULT, SOCS
from edgekit.targets.qnn.target import TOOLCHAIN, QNNTarget
from edgekit.targets.qnn.trace import read_chip
from edgekit.targets.toolchains.work import Job, run_job

pytestmark = pytest.mark.chips


@pytest.fixture(autouse=True)
def needs_it():
    skip_without(TOOLCHAIN)


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_a_network_is_taken_whole_and_answers_as_the_cpu_does(tmp_path, name):
    path, photos, done = write(tmp_path, name), pixels(8), []
    answers = emulate(
        TOOLCHAIN, path, photos, SOCS[DEFAULT], 180, lambda n, total: done.append((n, total))
    )
    cpu = OnnxRuntime(path).run(photos)
    step = np.ptp(cpu) / 255  # of the logits, about
    assert np.abs(answers.outputs - cpu).max() <= 13 * step
    assert answers.figures.on_cpu == 0
    assert answers.figures.mapped >= len(onnx_file.read(path).nodes) / 5
    assert done[-1] == (8, 8)


def test_the_emulation_answers_alike_each_time(tmp_path):
    path, photos = write(tmp_path, "lite0"), pixels(3)
    first, again = (emulate(TOOLCHAIN, path, photos, SOCS[DEFAULT], 180).outputs for _ in range(2))
    assert np.array_equal(first, again)


def test_a_context_binary_is_of_its_chip_and_keeps_the_record(tmp_path):
    path = write(tmp_path, "lite0")
    options = CompilerOptions(soc="SM8750", min_mapped=100)
    made = compile_file(TOOLCHAIN, path, tmp_path / "a", options)
    again = compile_file(TOOLCHAIN, path, tmp_path / "b", options)
    model, binary = made.outputs
    assert (model.name, binary.name) == ("lite0_qnn_ctx.onnx", "lite0_qnn_ctx_qnn.bin")
    assert binary.read_bytes() == again.outputs[1].read_bytes()
    assert (made.on_cpu, made.figures[0]["htp_arch"]) == (0, 79)
    assert made.chip.memory == {"context binary": binary.stat().st_size}
    assert made.log.exists()
    (context,) = onnx.load(model).graph.node
    assert context.op_type == "EPContext"
    entries = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    assert json.loads(entries["edgekit"]) == onnx_file.read(path).preprocessing
    assert json.loads(entries["labels"]) == list("abcdef")


def test_what_falls_back_is_listed_and_a_gate(tmp_path):
    path = flatten_on_integers(write(tmp_path, "lite0"))
    examined = QNNTarget().examine(path)
    assert [one.where for one in examined.findings] == ["Flatten 'pool/flat'", "Gemm 'logits/raw'"]
    assert len(examined.prediction.on_cpu) == 2
    with pytest.raises(GateError, match=r"92\.9 % of the operators are mapped, not 100 %"):
        compile_file(TOOLCHAIN, path, tmp_path, CompilerOptions(min_mapped=100))
    assert (tmp_path / "lite0_qnn_ctx.onnx").exists()


def test_a_check_lists_what_falls_back_and_ends_with_5(tmp_path, capsys):
    path = str(flatten_on_integers(write(tmp_path, "lite0")))
    given = ["--target", "qnn", "--soc", "SM8550"]
    assert run(["check", path, *given, "--min-mapped", "100"]) == 5
    shown = capsys.readouterr()
    assert "26 operators mapped, 2 on the CPU, by Qualcomm's compiler" in shown.out
    assert "put DequantizeLinear in front of it" in shown.out
    assert "Flatten 'pool/flat' is on the CPU" in shown.err
    assert run(["compile", path, *given, "--out", str(tmp_path), "--min-mapped", "90"]) == 0


def test_estimates_are_the_compilers(tmp_path):
    figures = QNNTarget().estimate(write(tmp_path, "b0"))
    assert figures.on_cpu == 0
    assert figures.memory["context binary"] > 10_000


def test_every_chip_of_the_table_is_the_one_that_the_compiler_means(tmp_path):
    path = write(tmp_path, "lite0")
    for name, soc in SOCS.items():
        made = compile_file(TOOLCHAIN, path, tmp_path / name, CompilerOptions(soc=name))
        meant = read_chip(made.outputs[1].read_bytes())
        assert (meant.soc, meant.arch) == (name, soc.arch)


def test_a_chip_that_the_compiler_does_not_know_is_no_answer_of_the_cpu(tmp_path):
    arguments = {"model": str(write(tmp_path, "lite0")), "soc_model": 999, "htp_arch": 75}
    arrays = {"pixels": pixels(1), "mean": np.zeros(3), "std": np.ones(3)}
    with pytest.raises(CompileError, match="does not take the model"):
        run_job(TOOLCHAIN, Job(WORKER, "run", arguments, arrays), timeout_s=180)


def test_a_build_has_a_row_of_it(tmp_path, monkeypatch):
    from narrow import make_narrow

    import edgekit

    make_narrow(["lite0"], monkeypatch)
    small = {"weights": "none", "resolution": 32, "epochs": 0, "calibration_count": 16}
    built = edgekit.build(
        "lite0", out=tmp_path / "run", targets=["qnn"], simulator_limit=8, threads=1, **small
    )
    assert built.problem is None
    (chip,) = built.document["chips"]
    assert (chip["row"]["stage"], chip["kind"], chip["row"]["n"]) == ("w8a8-htp", "emulator", 8)
    assert chip["figures"]["on_cpu"] == 0
    assert NCHW.row in {row["stage"] for row in built.rows}
    assert built.document["targets"][0]["status"] == "compiled"
