from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit.targets.edgetpu_log import (
    Row,
    is_silent,
    known_failure,
    parse_output,
    parse_outputs,
)

SHARED = Path(__file__).resolve().parents[3] / "shared"
LOGS = sorted((SHARED / "edgetpu/logs").glob("*.log"))

STDOUT = """\
Edge TPU Compiler version 16.0.384591198
Searching for valid delegate with step 10
Try to compile segment with 246 ops
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 3133 ms.

Input model: best-int8.tflite
Input size: 6.00MiB
Output model: best-int8_edgetpu.tflite
Output size: 6.47MiB
On-chip memory used for caching model parameters: 5.90MiB
On-chip memory remaining for caching model parameters: 1.16MiB
Off-chip memory used for streaming uncached model parameters: 41.75KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 229
Operation log: best-int8_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage \
of the model will instead run on the CPU, which is slower.
Number of operations that will run on Edge TPU: 222
Number of operations that will run on CPU: 7
"""
TABLE = """
Operator                       Count      Status

CONV_2D                        220        Mapped to Edge TPU
CONV_2D                        4          More than one subgraph is not supported
QUANTIZE                       2          Mapped to Edge TPU
SOME_NEW_OP                    3          A status that nobody has seen before
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def test_figures_of_stdout():
    output = parse_output(STDOUT)
    assert output.version == "16.0.384591198"
    assert (output.milliseconds, output.subgraphs, output.total) == (3133, 1, 229)
    assert output.input_bytes == 6 << 20
    assert output.on_chip_bytes == round(5.9 * 2**20)
    assert output.on_chip_free_bytes == round(1.16 * 2**20)
    assert output.off_chip_bytes == 42752
    assert (output.rows, output.mapped, output.on_cpu) == ((), 222, 7)


def test_table_of_stdout():
    output = parse_output(STDOUT + TABLE)
    assert output.rows == (
        Row("CONV_2D", 220, "Mapped to Edge TPU"),
        Row("CONV_2D", 4, "More than one subgraph is not supported"),
        Row("QUANTIZE", 2, "Mapped to Edge TPU"),
        Row("SOME_NEW_OP", 3, "A status that nobody has seen before"),
    )
    assert (output.mapped, output.on_cpu) == (output.stated_mapped, output.stated_on_cpu)
    assert output.to_dict()["rows"][0] == {
        "name": "CONV_2D",
        "count": 220,
        "status": "Mapped to Edge TPU",
    }


@pytest.mark.parametrize(
    ("size", "count"), [("0.00B", 0), ("187.00KiB", 191488), ("6.83MiB", 7161774)]
)
def test_sizes(size, count):
    assert parse_output(f"Output size: {size}\n").output_bytes == count


def test_foreign_text_gives_nothing():
    output = parse_output("command not found\nCONV_2D 3 Mapped to Edge TPU\n")
    assert (output.version, output.rows, output.mapped, output.on_cpu) == (None, (), None, None)


@pytest.mark.skipif(not LOGS, reason="needs ../shared")
@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_real_logs_add_up(log):
    text = log.read_text()
    output = parse_output(text)
    assert output.version == "16.0.384591198"
    counts = [int(n) for n in re.findall(r"^[A-Z_0-9]+ +(\d+) ", text, re.MULTILINE)]
    assert len(output.rows) == len(counts) > 0
    assert output.mapped + output.on_cpu == sum(counts)
    assert output.mapped == sum(
        int(line.split()[1]) for line in text.splitlines() if line.endswith("Mapped to Edge TPU")
    )


@pytest.mark.skipif(not LOGS, reason="needs ../shared")
@pytest.mark.parametrize(
    ("name", "mapped", "on_cpu"),
    [
        ("nasassai_model", 0, 4),
        ("kapibara_Midas-V2-Quantized_edgetpu", 145, 0),
        ("safety_vision_heavy_model", 316, 167),
    ],
)
def test_real_logs_fully_partly_and_not_mapped(name, mapped, on_cpu):
    output = parse_output((SHARED / f"edgetpu/logs/{name}.log").read_text())
    assert (output.mapped, output.on_cpu) == (mapped, on_cpu)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Invalid model: X.tflite\nModel not quantized\n", "not fully quantized"),
        (
            "ERROR: Attempting to use a delegate that only supports static-sized tensors with a "
            "graph that has dynamic-sized tensors.\nCompilation failed: Model failed in Tflite "
            "interpreter. Please ensure model can be loaded/run in Tflite interpreter.\n",
            "only known at run time",
        ),
        ("Compilation failed due to large activation tensors in model.\n", "activations"),
        ("ERROR: :344 no_integer_overflow_from_quantization was not true.\n", "bias"),
        ("Internal compiler error. Aborting!\n", "internal error"),
        ("Compilation failed: Model failed in Tflite interpreter.\n", "inside the compiler"),
        ("Didn't find op for builtin opcode 'CONV_2D' version '6'\n", "CONV_2D is newer"),
        ("Segmentation fault (core dumped)\n", "crashed"),
        (
            "Package requires runtime version (14), which is newer than this runtime version (13)",
            "needs runtime 14",
        ),
    ],
)
def test_known_failures(text, cause):
    assert cause in known_failure(text)[0]


def test_an_unknown_failure_has_no_cause():
    assert known_failure("Compilation failed!\n") is None


def test_each_model_of_a_run_has_its_figures():
    first = STDOUT + TABLE
    second = first[first.index("Input model") :].replace("best-int8", "second").replace("220", "9")
    one, two = parse_outputs(first + second)
    assert one == parse_output(first)
    assert (two.input_model, two.output_model) == ("second.tflite", "second_edgetpu.tflite")
    assert (two.version, two.milliseconds) == (one.version, one.milliseconds)
    assert (one.mapped, two.mapped) == (222, 11)


@pytest.mark.parametrize("shift", ["before", "after"])
def test_lines_of_other_versions_do_not_matter(shift):
    noise = "Compilation child process completed within timeout period.\n"
    version, _, rest = (STDOUT + TABLE).partition("\n")
    text = noise * 7 + version + "\n" + rest if shift == "before" else rest + noise + version
    assert parse_outputs(text) == parse_outputs(STDOUT + TABLE)


def test_a_time_of_its_own_belongs_to_each_model():
    text = "".join(
        f"Model compiled successfully in {ms} ms.\n\nInput model: {name}\n"
        for ms, name in ((5, "a/b.tflite"), (7, "c.tflite"))
    )
    outputs = parse_outputs(text)
    assert [(o.input_model, o.milliseconds) for o in outputs] == [("b.tflite", 5), ("c.tflite", 7)]


def test_foreign_text_is_one_output_without_figures():
    assert parse_outputs("nothing\n") == [parse_output("nothing\n")]


@pytest.mark.parametrize(
    ("text", "silent"),
    [("", True), ("Edge TPU Compiler version 15.0.1\n\n", True), ("Compilation failed!", False)],
)
def test_silence(text, silent):
    assert is_silent(text) == silent


def test_numbers_and_blanks_beyond_measure_are_passed_over():
    text = "Operator  Count  Status\n\nADD" + " " * 100_000 + "\nMUL  " + "9" * 5000 + "  Mapped\n"
    text += "Input size: " + "9" * 400 + "MiB\nSUB   1   Mapped to Edge TPU   \n"
    output = parse_output(text)
    assert [(row.name, row.count, row.is_mapped) for row in output.rows] == [("SUB", 1, True)]
    assert output.input_bytes is None
