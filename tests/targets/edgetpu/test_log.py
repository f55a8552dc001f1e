from __future__ import annotations

import json
import random
import re

import pytest
from places import SHARED
from prerequisites import needs

from edgekit.targets.edgetpu.log import Row, parse_output, parse_outputs
from edgekit.targets.edgetpu.text import decode

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


@needs("shared", bool(LOGS))
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


@needs("shared", bool(LOGS))
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


def test_foreign_text_is_no_output():
    assert parse_outputs("nothing\n") == []


def test_numbers_and_blanks_beyond_measure_are_passed_over():
    text = "Operator  Count  Status\n\nADD" + " " * 100_000 + "\nMUL  " + "9" * 5000 + "  Mapped\n"
    text += "Input size: " + "9" * 400 + "MiB\nSUB   1   Mapped to Edge TPU   \n"
    output = parse_output(text)
    assert [(row.name, row.count, row.is_mapped) for row in output.rows] == [("SUB", 1, True)]
    assert output.input_bytes is None


MAPPED = "Mapped to Edge TPU"
LOG_A = f"""\
Edge TPU Compiler version 16.0.384591198
Input: a.tflite
Output: a_edgetpu.tflite

Operator                       Count      Status

CONV_2D                        10         {MAPPED}
SOFTMAX                        1          Tensor has unsupported rank (up to 3 innermost \
dimensions mapped)
"""
LOG_B = (
    LOG_A.replace("a.tflite", "b.tflite").replace("a_edgetpu", "b_edgetpu").replace("10 ", "7  ")
)
PRINTED_A = STDOUT.replace("best-int8", "folder/a").replace("229", "11")
FAILING = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
ERROR: Restored original execution plan after delegate application failure.
Compilation failed: Compilation failed due to large activation tensors in model.
Compilation child process completed within timeout period.
Compilation failed!\x20
"""

PREFIXES = {
    "indented": lambda number: "    ",
    "tab": lambda number: "\t",
    "quoted": lambda number: "> ",
    "quoted without a blank": lambda number: ">",
    "actions": lambda number: f"2024-05-01T12:00:{number % 60:02}.{number * 7919 % 10**7}Z ",
    "compose": lambda number: "edge-tpu_1  | ",
    "compose with time": lambda number: f"tpu-1  | 2024-05-01T12:00:0{number % 9}Z ",
    "logger": lambda number: f"2024-05-01 12:00:00,{number:03} INFO edge.tpu:{number} ",
    "pytest": lambda number: f"INFO     root:compile.py:{number} ",
    "word and number": lambda number: f"STEP {number} ",
    "gitlab": lambda number: f"{number:06x} 01O ",
    "syslog": lambda number: f"May  1 12:00:00 host compile[{number}]: ",
    "buildkit": lambda number: f"#12 {number}.345 ",
    "only the first": lambda number: "INFO compiled: " if not number else "",
    "colour": lambda number: "\x1b[32m[out]\x1b[0m ",
}


def prefixed(text: str, name: str) -> str:
    prefix = PREFIXES[name]
    return "".join(f"{prefix(i)}{line}\n" for i, line in enumerate(text.splitlines()))


TRANSFORMED = {
    **{name: lambda text, name=name: prefixed(text, name).encode() for name in PREFIXES},
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "crcrlf": lambda text: text.replace("\n", "\r\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "utf-8 mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.replace("\n", "\r\n").encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-16-be mark": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "colours": lambda text: re.sub(r"(\S+)", "\x1b[1;31m\\1\x1b[0m", text).encode(),
    "no-break": lambda text: text.replace(" ", "\xa0").encode(),
    "one blank": lambda text: re.sub(" +", " ", text).encode(),
    "tabs": lambda text: re.sub("  +", "\t", text).encode(),
    "docker": lambda text: "".join(
        json.dumps({"log": line, "stream": "stdout"}) + "\n" for line in text.splitlines(True)
    ).encode(),
    "no end": lambda text: text.rstrip("\n").encode(),
    "noise": lambda text: f"make: tpu\n{text}make: done\nSTEP 4 RUN x\n".encode(),
}
TEXTS = {
    "log": LOG_A,
    "two logs": LOG_A + LOG_B,
    "output": STDOUT,
    "output with table": STDOUT + TABLE,
    "failure": FAILING,
    "all": STDOUT + TABLE + LOG_A + FAILING + LOG_B,
    **{log.stem: log.read_text() for log in LOGS},
}


@pytest.mark.parametrize("way", TRANSFORMED)
def test_however_it_was_captured_it_says_the_same(way):
    for name, text in TEXTS.items():
        expected = parse_outputs(text)
        assert expected, name
        assert parse_outputs(decode(TRANSFORMED[way](text))) == expected, name


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("other", [LOG_B, STDOUT + TABLE, FAILING], ids=["log", "output", "failed"])
def test_of_several_in_a_text_each_is_as_it_is_alone(name, other):
    alone, more = parse_outputs(TEXTS[name]), parse_outputs(other)
    assert parse_outputs(TEXTS[name] + other) == alone + more
    assert parse_outputs(other + TEXTS[name]) == more + alone


def test_parts_in_different_encodings():
    data = LOG_A.encode("utf-16") + LOG_B.encode()
    assert parse_outputs(decode(data)) == parse_outputs(LOG_A + LOG_B)
    data = LOG_A.encode() + LOG_B.encode("utf-16")
    assert parse_outputs(decode(data)) == parse_outputs(LOG_A + LOG_B)


@pytest.mark.parametrize("text", [PRINTED_A + LOG_A, LOG_A + PRINTED_A], ids=["after", "before"])
def test_an_output_and_its_log_are_one(text):
    (both,) = parse_outputs(text)
    assert both.rows == parse_output(LOG_A).rows
    assert (both.off_chip_bytes, both.total, both.milliseconds) == (42752, 11, 3133)
    assert both.missing == 0


def test_an_output_with_its_table_and_its_log_are_one():
    assert parse_outputs(PRINTED_A + LOG_A[LOG_A.index("Operator ") :] + LOG_A) == parse_outputs(
        PRINTED_A + LOG_A
    )


@pytest.mark.parametrize(
    "log", [LOG_B, LOG_A.replace("10 ", "99 "), LOG_A.replace("16.0.384591198", "15.0.340273435")]
)
def test_the_log_of_another_compilation_is_its_own(log):
    printed, logged = parse_outputs(PRINTED_A + log)
    assert (printed.rows, logged.on_chip_bytes) == ((), None)
    assert logged == parse_output(log)


WHOLE = STDOUT[: STDOUT.index("\nModel successfully")]


@pytest.mark.parametrize(
    "end",
    [
        "See the operation log file for individual operation details.\n",
        "Compilation child process completed within timeout period.\nCompilation succeeded!\n",
    ],
)
def test_a_total_without_the_sentence_on_unsupported_operators_is_all_mapped(end):
    output = parse_output(WHOLE + end)
    assert (output.mapped, output.on_cpu, output.rows) == (229, 0, ())


def test_a_text_that_ends_at_the_total_says_nothing_of_the_mapped():
    for end in ("Operation log", "\nModel successfully"):
        output = parse_output(STDOUT[: STDOUT.index(end)])
        assert (output.total, output.mapped, output.on_cpu) == (229, None, None)
    sentence = STDOUT[: STDOUT.index("Number of operations")]
    assert parse_output(sentence).mapped is None


def test_no_subgraph_is_nothing_mapped():
    output = parse_output(WHOLE.replace("subgraphs: 1", "subgraphs: 0"))
    assert (output.mapped, output.on_cpu) == (0, 229)


def test_one_number_gives_the_other():
    text = STDOUT.replace("Number of operations that will run on CPU: 7\n", "")
    assert (parse_output(text).mapped, parse_output(text).on_cpu) == (222, 7)


def test_a_table_that_is_cut_off_lacks_operators():
    text = STDOUT + TABLE
    assert parse_output(text[: text.index("QUANTIZE")]).missing == 5


def test_the_memory_of_version_2_0():
    text = STDOUT.replace(
        "On-chip memory used for caching model parameters: 5.90MiB\n"
        "On-chip memory remaining for caching model parameters: 1.16MiB\n",
        "On-chip memory available for caching model parameters: 7.62MiB\n"
        "On-chip memory used for caching model parameters: 5.90MiB\n",
    )
    output = parse_output(text)
    assert output.on_chip_bytes == round(5.9 * 2**20)
    assert output.on_chip_free_bytes == round(7.62 * 2**20) - round(5.9 * 2**20)


def test_containers_that_print_at_once_are_told_apart():
    streams = [
        prefixed(LOG_A, "compose"),
        prefixed(LOG_B, "compose").replace("edge-tpu_1", "other_1"),
    ]
    lines = [line for both in zip(*map(str.splitlines, streams), strict=True) for line in both]
    assert parse_outputs("\n".join(lines)) == parse_outputs(LOG_A + LOG_B)


SEARCH = """\
Edge TPU Compiler version 16.0.384591198
Searching for valid delegate with step 1
Try to compile segment with 230 ops
Started a compilation timeout timer of 180 seconds.
Compilation timeout. This is usually caused by large activations.
Compilation failed!\x20
Try to compile segment with 229 ops
Intermediate tensors: a,b
"""


def test_a_failure_that_a_search_overcame_is_none():
    (output,) = parse_outputs(SEARCH + STDOUT.partition("\n")[2] + TABLE)
    assert (output.failure, output.mapped, output.version) == (None, 222, "16.0.384591198")


def test_a_search_that_finds_nothing_is_one_failure():
    end = "ERROR: Node number 3 (MUL) failed to prepare.\nCompilation failed!\n"
    (output,) = parse_outputs(SEARCH + end)
    assert "3 (MUL)" in output.failure.cause
    (output,) = parse_outputs(SEARCH + "Compilation failed!\n")
    assert "time limit" in output.failure.cause


def test_a_segment_that_fails_after_one_that_compiled():
    first = STDOUT + TABLE
    second = SEARCH.partition("\n")[2] + "Compilation failed!\n"
    one, two = parse_outputs(first + second)
    assert (one.failure, one.mapped) == (None, 222)
    assert two.failure
    assert two.version == one.version


def test_a_compiled_file_that_cannot_be_written_is_a_failure():
    text = (
        "Error opening file for writing: out/a_edgetpu.tflite\nInternal compiler error. Aborting!"
    )
    (output,) = parse_outputs(PRINTED_A + text)
    assert output.failure.cause == "the compiler cannot write out/a_edgetpu.tflite"
    assert output.mapped == 222


def test_each_call_has_its_outcome():
    failed = "$ edgetpu_compiler a.tflite\nEdge TPU Compiler version 14.1.317412892\n\n"
    failed += "Internal compiler error. Aborting!\x20\n"
    outputs = parse_outputs(failed * 2 + PRINTED_A)
    assert [bool(output.failure) for output in outputs] == [True, True, False]


def test_errors_captured_before_the_version_are_of_the_call_that_follows():
    """What a program says on stderr is not held back as what it says on stdout is."""
    errors = "ERROR: Encountered unresolved custom op: Atan.\n"
    call = FAILING.replace(FAILING.splitlines()[3] + "\n", "")
    (output,) = parse_outputs(errors + call)
    assert "Atan" in output.failure.cause
    (output,) = parse_outputs(errors + PRINTED_A)
    assert output.failure is None


def test_an_error_of_the_runtime_after_a_compilation_is_not_the_compilers():
    later = "RuntimeError: Encountered unresolved custom op: edgetpu-custom-op.\n"
    assert parse_outputs(PRINTED_A + later) == parse_outputs(PRINTED_A)


def test_a_version_alone_is_a_call_that_died():
    (output,) = parse_outputs("Edge TPU Compiler version 15.0.340273435\n")
    assert output.version == "15.0.340273435"
    assert "nothing follows" in output.failure.cause
    one, two = parse_outputs("Edge TPU Compiler version 15.0.340273435\n" + LOG_A)
    assert (bool(one.failure), two) == (True, parse_output(LOG_A))


def test_a_version_in_bold():
    (output,) = parse_outputs("**Edge TPU Compiler version 15.0.340273435**\n")
    assert output.version == "15.0.340273435"
    assert parse_outputs("It wants Edge TPU Compiler version 15.0 or later.\n") == []


def test_a_call_that_is_cut_off():
    (output,) = parse_outputs("\n".join(FAILING.splitlines()[:2]))
    assert "the text ends" in output.failure.cause


def test_a_segmentation_fault_of_another_program_is_no_output():
    assert parse_outputs("make: *** Segmentation fault (core dumped)\n") == []


def test_rows_among_other_lines():
    lines = LOG_A.splitlines()
    lines[7:7] = ["STEP 4 RUN make", "noise", "TOTAL 3 files"]
    (output,) = parse_outputs("\n".join(lines))
    assert output.rows[0] == Row("CONV_2D", 10, MAPPED)
    assert [row.name for row in output.rows][-1] == "SOFTMAX"
    assert "TOTAL" not in [row.name for row in output.rows]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_cut_off_anywhere_says_nothing_wrong(name):
    """Each model is as in the whole text, or lacks figures, rows or its outcome."""
    lines = TEXTS[name].splitlines(keepends=True)
    whole = parse_outputs(TEXTS[name])
    for count in range(len(lines)):
        for place, output in enumerate(parse_outputs("".join(lines[:count]))):
            full = whole[place]
            assert output.stated_mapped in (None, full.stated_mapped)
            assert output.failure or set(output.rows) <= set(full.rows)


def test_lines_in_any_order_are_read_without_an_error():
    lines = "".join(TEXTS.values()).splitlines() + SEARCH.splitlines()
    shuffled = random.Random(0)
    for _ in range(200):
        text = "\n".join(shuffled.choices(lines, k=40))
        for output in parse_outputs(text):
            assert output.to_dict()
            assert output.failure is None or output.failure.cause
