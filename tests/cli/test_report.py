from __future__ import annotations

import io
import json
import re
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from places import SHARED
from prerequisites import needs

from edgekit.cli import report, run
from edgekit.targets.edgetpu.status import MEANINGS

LOGS = sorted((SHARED / "edgetpu/logs").glob("*.log"))

TABLE = """\
Operator                       Count      Status

QUANTIZE                       2          Operation not supported
CONV_2D                        60         Mapped to Edge TPU
ADD                            30         Mapped to Edge TPU
CONV_2D                        5          More than one subgraph is not supported
SOME_NEW_OP                    3          A status that nobody has seen before
"""
LOG = f"""\
Edge TPU Compiler version 16.0.384591198
Input: a.tflite
Output: a_edgetpu.tflite

{TABLE}"""
BLOCK = """\
Input model: folder/{0}.tflite
Input size: 6.00MiB
Output model: folder/{0}_edgetpu.tflite
Output size: 6.50MiB
On-chip memory used for caching model parameters: 5.90MiB
On-chip memory remaining for caching model parameters: 1.16MiB
Off-chip memory used for streaming uncached model parameters: 41.75KiB
Number of Edge TPU subgraphs: 2
Total number of operations: 100

"""
STDOUT = f"""\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Models compiled successfully in 3133 ms.

{BLOCK.format("a")}{TABLE}
{BLOCK.format("b")}{TABLE}"""
ROW = {
    "stage": "w8a8-tflite",
    "runtime": "LiteRT 2.3",
    "n": 736,
    "top1": 0.9307,
    "top5": 1.0,
    "top1_ci95": [0.91, 0.95],
    "agreement": None,
    "kl": 0.0042,
    "drop_pp": 0.27,
    "drop_se_pp": 0.3,
    "size_bytes": 4004208,
    "latency_ms": None,
}


@pytest.fixture
def save(tmp_path):
    def write(text: str | bytes, name: str = "a.log") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture
def shown(capsys):
    def of(*arguments: str, code: int = 0) -> str:
        assert run(["report", *arguments]) == code
        return capsys.readouterr().out

    return of


@pytest.fixture
def refused(capsys):
    def of(*arguments: str) -> str:
        assert run(["report", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return of


def test_a_log(save, shown):
    out = shown(save(LOG))
    assert (
        "compiler     16.0.384591198\ninput        a.tflite\noutput       a_edgetpu.tflite\n" in out
    )
    assert "mapped       90 of 100 operators (90.0 %)" in out
    assert "cache" not in out
    table = out[out.index("Operator  ") :].splitlines()
    assert [line.split()[:2] for line in table[1:6]] == [
        ["CONV_2D", "60"],
        ["ADD", "30"],
        ["CONV_2D", "5"],
        ["SOME_NEW_OP", "3"],
        ["QUANTIZE", "2"],
    ]
    assert [line.split()[0] for line in table[7:] if re.match(" +[0-9]", line)] == [
        "90",
        "5",
        "3",
        "2",
    ]


@pytest.mark.parametrize("status", MEANINGS)
def test_every_known_status_has_its_meaning_and_fix(save, shown, status):
    out = shown(save(LOG.replace("A status that nobody has seen before", status)))
    assert status in out
    assert MEANINGS[status].text in out
    assert MEANINGS[status].fix in out


def test_an_unknown_status_is_shown_as_it_is(save, shown):
    out = shown(save(LOG))
    assert out.splitlines()[-1] != ""
    assert "     3  A status that nobody has seen before\n     2  Operation not supported" in out


def test_captured_output_of_several_models(save, shown):
    out = shown(save(STDOUT))
    assert out.count("mapped       90 of 100 operators (90.0 %)") == 2
    assert out.index("input        a.tflite, 6.3 MB") < out.index("input        b.tflite, 6.3 MB")
    assert "output       b_edgetpu.tflite, 6.8 MB" in out
    assert "cache        6.2 MB used, 1.2 MB free; 42.8 kB streamed for every inference" in out
    assert "took         3133 ms" in out
    assert "subgraphs    2" in out


def test_several_files(save, shown):
    out = shown(save(LOG), save(LOG, "b.log"))
    assert out.count("compiler     16.0") == 2


def test_stdin(shown, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(LOG.encode())))
    out = shown("-")
    assert out.startswith("stdin\n")
    assert "mapped       90 of 100" in out


def test_json(save, shown):
    path = save(STDOUT)
    document = json.loads(shown(path, "--json"))
    assert (document["schema_version"], len(document["files"])) == (1, 1)
    first, second = document["files"][0]["models"]
    assert (document["files"][0]["path"], second["input_model"]) == (path, "b.tflite")
    assert (first["mapped"], first["on_cpu"], first["share_mapped"]) == (90, 10, 0.9)
    assert first["off_chip_bytes"] == 42752
    assert first["rows"][0] == {
        "name": "QUANTIZE",
        "count": 2,
        "status": "Operation not supported",
    }
    assert first["statuses"][2] == {
        "status": "A status that nobody has seen before",
        "count": 3,
        "meaning": None,
        "fix": None,
    }
    assert first["failure"] is None


def test_a_failure_is_explained(save, shown):
    text = "Edge TPU Compiler version 16.0\nInternal compiler error. Aborting!\n"
    out = shown(save(text), code=6)
    assert "failed       an internal error of the compiler" in out
    assert "use a lower resolution" in out


def test_a_failure_that_was_overcome_is_none(save, shown):
    text = "Compilation failed due to large activation tensors in model.\n" + LOG
    assert "failed" not in shown(save(text))


@needs("shared", bool(LOGS))
@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_real_logs_add_up(log, shown):
    """The rows, read by columns rather than as the parser does."""
    lines = log.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Operator "))
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines[start + 1 :]:
        if line.strip():
            counts[line[:31].strip(), line[42:].strip()] += int(line[31:42])
    (model,) = json.loads(shown(str(log), "--json"))["files"][0]["models"]
    assert {(r["name"], r["status"]): r["count"] for r in model["rows"]} == counts
    assert model["mapped"] + model["on_cpu"] == sum(counts.values()) > 0
    assert sum(s["count"] for s in model["statuses"]) == sum(counts.values())
    assert all(s["meaning"] for s in model["statuses"])
    text = shown(str(log))
    for (name, status), count in counts.items():
        assert f"{name:<31}{count:<11}{status}" in text


def test_a_run_is_shown_again(save, shown, tmp_path):
    path = save(json.dumps({"schema_version": 1, "rows": [ROW]}), "report.json")
    for argument in (path, str(tmp_path)):
        out = shown(argument)
        assert out.startswith(path)
        assert re.search(r"w8a8-tflite .* 93\.07 .* 4\.0 MB", out)
    document = json.loads(shown(path, "--json"))
    assert document["files"] == [{"path": path, "rows": [ROW]}]


def test_the_chips_of_a_run_are_shown_again(save, shown):
    figures = {"latency_ms": 16.7, "memory": {"SRAM": 1_474_000}, "mapped": 63, "on_cpu": 0}
    chip = {
        "target": "npu",
        "runtime": "NPU 2.1",
        "row": ROW | {"stage": "w8a8-npu", "n": 100},
        "same": 0.99,
        "agreement_int8": 1.0,
        "figures": figures,
    }
    path = save(json.dumps({"schema_version": 1, "rows": [ROW], "chips": [chip]}), "report.json")
    assert re.search(r"\nw8a8-npu .* 100 .* 63 of 63 ", shown(path))
    assert json.loads(shown(path, "--json"))["files"][0]["chips"] == [chip]
    damaged = save(json.dumps({"rows": [ROW], "chips": [{"row": None}]}), "damaged.json")
    assert run(["report", damaged]) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("hello\n", "not from the Edge TPU's compiler"),
        ("", "not from the Edge TPU's compiler"),
        (b"\xff\xfe\x00binary", "not from the Edge TPU's compiler"),
        ("{broken", "no report of a run"),
        ("{}", "no report of a run"),
        ('{"rows": 3}', "no report of a run"),
        ('{"rows": [3]}', "no report of a run"),
        ('{"rows": ' + "[" * 100_000, "no report of a run"),
        (LOG + "Input model: a.tflite\n" * 1001, "more than 1000 models"),
    ],
)
def test_what_is_neither_is_refused(save, refused, content, says):
    err = refused(save(content))
    assert says in err
    assert "try:" in err


@pytest.mark.parametrize("row", [{}, {**ROW, "top1": "high"}, {**ROW, "latency_ms": 3}])
def test_a_row_that_is_none_is_refused(save, capsys, row):
    assert run(["report", save(json.dumps({"rows": [row]}))]) == 2
    assert "no report of a run" in capsys.readouterr().err


def test_what_is_not_there_is_refused(tmp_path, refused):
    assert "there is no such file" in refused(str(tmp_path / "none.log"))
    assert "report.json" in refused(str(tmp_path))


def test_a_giant_file_is_not_read_whole(save, refused, monkeypatch):
    path = save(LOG)
    monkeypatch.setattr(report, "LARGEST", 100)
    assert "larger than" in refused(path)


def test_a_long_run_of_blanks_takes_no_time(save, shown):
    text = LOG + "ADD" + " " * 2_000_000 + "1          Mapped to Edge TPU\n"
    assert shown(save(text)) == shown(save(LOG))


def test_control_characters_do_not_reach_the_terminal(save, shown):
    out = shown(
        save(LOG.replace("A status", "A \x1b[31msta\x08tus").replace("Input: a", "Input: \x07a"))
    )
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "A sta?tus" in out
    assert "input        ?a.tflite" in out


CASES = {
    "range_862": (
        "Edge TPU Compiler version 16.0.384591198\n"
        "Started a compilation timeout timer of 180 seconds.\n"
        "ERROR: Op builtin_code out of range: 151. Are you using old TFLite binary with newer "
        "model?\nERROR: Registration failed.\n\nInvalid model: m.tflite\n"
        "Model could not be parsed\n",
        "the model is newer than the compiler",
    ),
    "out_of_range_728": (
        "Edge TPU Compiler version 16.0.384591198\n"
        "Started a compilation timeout timer of 180 seconds.\n"
        "libc++abi: terminating with uncaught exception of type std::out_of_range: vector\n"
        "Compilation child process completed within timeout period.\nCompilation failed! \n",
        "the compiler crashed (std::out_of_range: vector)",
    ),
    "bias_41069": (
        "Edge TPU Compiler version 2.1.302470888\n"
        "ERROR: :129 std::abs(input_product_scale - bias_scale) <= 1e-6 * "
        "std::min(input_product_scale, bias_scale) was not true.\n"
        "ERROR: Node number 40 (FULLY_CONNECTED) failed to prepare.\n",
        "at operator 40 (FULLY_CONNECTED)",
    ),
    "failed_only": (
        "Edge TPU Compiler version 16.0.384591198\n"
        "Started a compilation timeout timer of 5 seconds.\n"
        "Compilation child process completed within timeout period.\nCompilation failed! \n",
        "the compiler gives no reason",
    ),
    "custom_op": (
        "Edge TPU Compiler version 16.0.384591198\n"
        "Started a compilation timeout timer of 180 seconds.\n"
        "ERROR: Encountered unresolved custom op: Atan.\n"
        "ERROR: Node number 1 (Atan) failed to prepare.\n\n"
        "Compilation failed: Model failed in Tflite interpreter. Please ensure model can be "
        "loaded/run in Tflite interpreter.\n"
        "Compilation child process completed within timeout period.\nCompilation failed! \n",
        "the custom operator Atan is not known",
    ),
    "silent": ("Edge TPU Compiler version 15.0.340273435\n\n", "nothing follows"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_failure_is_a_row_with_a_cause_and_no_success(save, shown, case):
    text, cause = CASES[case]
    path = save(text)
    assert re.search(f"^failed       .*{re.escape(cause)}", shown(path, code=6), re.MULTILINE)
    (model,) = json.loads(shown(path, "--json", code=6))["files"][0]["models"]
    assert cause in model["failure"]["cause"]
    assert model["failure"]["fix"]
    assert (model["mapped"], model["rows"]) == (None, [])


def test_one_failure_among_others_ends_with_6(save, shown):
    out = shown(save(LOG), save(CASES["failed_only"][0] + LOG, "b.log"), code=6)
    assert (out.count("mapped       90 of 100"), out.count("failed  ")) == (2, 1)


def test_a_text_that_ends_before_the_outcome_ends_with_2(save, shown):
    path = save(STDOUT[: STDOUT.index("Total number")])
    assert "cut off      the text ends before" in shown(path, code=2)
    assert json.loads(shown(path, "--json", code=2))["files"][0]["models"][0]["mapped"] is None


def test_a_table_that_is_cut_off_is_said_to_lack_operators(save, shown):
    text = STDOUT.partition("\nInput model: folder/b")[0]
    out = shown(save(text[: text.index("SOME_NEW_OP")]))
    assert "mapped       90 of 97 operators (92.8 %); the text lacks 3 more" in out


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_other_encodings(save, shown, encoding):
    lines = "".join(f"  | {line}\r\n" for line in LOG.splitlines())
    assert shown(save(lines.encode(encoding))) == shown(save(LOG))
    table = json.dumps({"schema_version": 1, "rows": [ROW]}).encode(encoding)
    assert "w8a8-tflite" in shown(save(table, "report.json"))


def test_a_log_of_json_lines(save, shown):
    lines = [json.dumps({"log": f"{line}\n", "time": "12:00"}) for line in LOG.splitlines()]
    assert shown(save("\n".join(lines))) == shown(save(LOG))


LOG_CASES = SHARED / "cases/logs"


@needs("shared", LOG_CASES.is_dir())
@pytest.mark.parametrize(
    ("name", "code", "mapped"),
    [
        ("two_logs_joined.log", 0, [(11, 0), (2, 5)]),
        ("full_no_s.txt", 0, [(60, 0)]),
        ("indented.txt", 0, [(60, 0)]),
        ("github_actions.txt", 0, [(60, 0)]),
        ("range_862.txt", 6, [(None, None)]),
        ("out_of_range_728.txt", 6, [(None, None)]),
        ("bias_41069.txt", 6, [(None, None)]),
        ("failed_only.txt", 6, [(None, None)]),
        ("custom_op.txt", 6, [(None, None)]),
    ],
)
def test_logs_of_users(shown, name, code, mapped):
    document = json.loads(shown(str(LOG_CASES / name), "--json", code=code))
    models = document["files"][0]["models"]
    assert [(model["mapped"], model["on_cpu"]) for model in models] == mapped
