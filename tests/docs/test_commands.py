"""Commands of the documentation: all are parsed as the program parses them, most are run."""

from __future__ import annotations

import glob
import importlib.metadata
import re
import runpy
import sys
from pathlib import Path

import pytest
from command_line import commands, options, parse
from docs_stand_ins import build_runs, draw_photos, publish
from examples import PAGES, ROOT, sentences, shell_lines, split
from narrow import make_narrow

from edgekit.cli import run
from edgekit.options.build import BUILD_ONLY, BuildOptions
from edgekit.tasks.classification import device_program

LINES = list(dict.fromkeys(shell_lines()))
IDS = [f"{where} {line[:60]}" for line, where in LINES]

#: What a line needs that is not at hand, such as a maker's tool: it is parsed, and not run.
NOT_HERE = re.compile(
    r"ssh://|adb:|…|torchrun|^make |^pip |^python|--compile-host|larch|toolchain (install|remove)"
    r"|^edgekit (choose|drift)|_vela|--tflm|--target (ethosu|tflm|qnn|rknn|executorch|imx500)"
    r"|hf://|[._]in1k|--macs 800M"  # which narrow networks are too far from
)
#: What ends with another code than 0 where its tool is missing.
WITHOUT_TOOL = {
    r"^edgekit (compile|build (?!.*--no-compile).*--target edgetpu)": 3,
    r"--delegate edgetpu": 3,
}
#: What trains, searches or measures: in the fast tests it is only parsed.
LONG = re.compile(r"^edgekit (bench|build|train|search|sensitivity|scale|latency-table)\b")


def edgekit_words(line: str) -> list[str] | None:
    """What a line hands to edgekit; None where it calls something else."""
    words = split(line)
    if words[0] == "torchrun":
        return words[words.index("edgekit") + 1 :]
    return words[1:] if words[0] == "edgekit" else None


@pytest.mark.parametrize(("line", "where"), LINES, ids=IDS)
def test_a_command_is_one(line, where, monkeypatch, capsys):
    words = split(line)
    if (ours := edgekit_words(line)) is not None:
        given = zip(ours, ["", *ours], strict=False)  # "…" is a value, or whatever else one likes
        words = [word for word, before in given if word != "…" or before.startswith("--")]
        command, values = parse(words, {"build": {"model": "lite0"}})  # as `init` writes it
        if command in ("build", "train"):
            without = BUILD_ONLY if command == "train" else ()
            names = BuildOptions.__dataclass_fields__.keys() - set(without)
            BuildOptions.make(**{name: values[name] for name in names})
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    elif words[0] == "pip":
        extras = importlib.metadata.metadata("edgekit").get_all("Provides-Extra")
        assert set(re.findall(r"\w+", words[-1].partition("[")[2])) <= set(extras)
    elif words[1].endswith("classify.py"):
        program = Path(device_program.__file__).read_text("utf-8")
        assert all(f'"{word}"' in program for word in words if word.startswith("--"))
    else:
        assert words[0] == "python"
        monkeypatch.setattr(sys, "argv", [words[1], "--help"])
        monkeypatch.syspath_prepend((ROOT / words[1]).parent)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        assert ended.value.code == 0
        helped = capsys.readouterr().out
        assert all(word in helped for word in words if word.startswith("--"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that holds everything the lines name."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(["b0", "lite0", "v2-b0"], patch, 64)
        publish(["b0", "lite0", "v2-b0"], folder / "mirror", patch)
        draw_photos(folder)
        build_runs(folder)
        patch.chdir(folder)
        yield folder


def execute(line: str) -> None:
    words = edgekit_words(line)
    expanded = [path for word in words for path in sorted(glob.glob(word)) or [word]]
    if words[0] in ("build", "train") and "--epochs" not in words:
        expanded += ["--epochs", "1"]
    file = Path("edgekit.toml")
    file.unlink(missing_ok=True)  # each page begins with it
    if words[0] == "build" and len(words) == words.count("--epochs") * 2 + 1:  # and goes on so
        assert run(["init", "photos"]) == 0
    if words[0] == "search" and "--join" not in words:
        expanded += ["--trials", "2", "--epochs", "1", "--finalists", "0"]
    wanted = next((code for text, code in WITHOUT_TOOL.items() if re.search(text, line)), 0)
    assert run(expanded) == wanted


#: A line that several pages have is run once.
ONCE = {line: name for (line, _), name in reversed(list(zip(LINES, IDS, strict=True)))}
RUN = [(line, name) for line, name in reversed(ONCE.items()) if not NOT_HERE.search(line)]
SHORT = [row for row in RUN if not LONG.search(row[0])]


@pytest.mark.parametrize("line", [line for line, _ in SHORT], ids=[name for _, name in SHORT])
def test_a_command_runs(line, place):
    execute(line)


LONGER = [row for row in RUN if LONG.search(row[0])]


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line, _ in LONGER], ids=[name for _, name in LONGER])
def test_a_command_that_takes_long_runs(line, place):
    execute(line)


#: Options of benchmarks and of programs on devices, within sentences.
OF_OTHERS = {"--run", "--log", "--log-mb"}
EVERY = {name for command in commands() for name in options(command)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_and_options_within_sentences_exist(page):
    names = "|".join(sorted(commands(), key=len, reverse=True))
    wrong = []
    for code in sentences(page):
        call = re.match(rf"edgekit (?P<command>{names})\b", code)
        several = "COMMAND" in code or "|" in code
        if code.startswith("edgekit ") and not call and not several:
            wrong.append(code)
        if call or code.startswith("--"):
            known = options(call["command"]) if call else EVERY | OF_OTHERS
            found = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?![\w-])", code)
            wrong += [f"{code}: {name}" for name in found if name not in known]
    assert not wrong
