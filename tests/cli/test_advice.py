"""What messages advise exists: every command and option that a text names is parsed for real."""

from __future__ import annotations

import re

from command_line import commands, commands_of, options, sources, texts

#: What follows the program's name in a sentence, and is no command.
PROSE = {"does", "filled", "has", "keeps", "lies", "or", "prepares", "uses", "wrote", "writes"}
#: What calls a maker's tool in that tool's own Python.
WORKER = re.compile(r"edgekit\.targets\.\w+\.\w*worker")
VELA = (("options", "--accelerator-config"), ("options", "--arena-cache-size"))
#: Options of other programs, by the module that calls or names them.
OF_OTHERS = {
    ("edgekit.targets.doctor.missing", "--system-site-packages"),  # python -m venv
    (
        "edgekit.tasks.classification.device_program",
        "--camera",
    ),  # the program on the device, as are these
    ("edgekit.tasks.classification.device_program", "--top"),
    ("edgekit.tasks.classification.device_program", "--log"),
    ("edgekit.cli.drift", "--log"),
    ("edgekit.pipeline.push.card", "--local-dir"),  # hf download
    ("edgekit.report.answer_log", "--log"),
    ("edgekit.tasks.classification.device_program", "--delegate"),
    ("edgekit.tasks.classification.device_program", "--threads"),
    *(("edgekit.targets.deploy.programs", name) for name in ("--top", "--map", "--no-drawing")),
    *((f"edgekit.targets.ethosu.{of}", name) for of, name in VELA),
    ("edgekit.targets.imx500.compiler", "--memory-report"),  # imxconv-pt, as are these
    ("edgekit.targets.imx500.options", "--input-persistency"),
    ("edgekit.targets.imx500.options", "--no-input-persistency"),
}
#: Of pip and of venv, which make the environments of toolchains.
OF_PIP = {
    *("--disable-pip-version-check", "--find-links", "--force-reinstall", "--log", "--no-color"),
    *("--no-deps", "--no-index", "--no-input", "--only-binary", "--progress-bar"),
    *("--require-hashes", "--without-pip"),
}
#: Who names an option of a module, where it is fewer than say the rest.
OWNERS_OF_ONE = {
    ("edgekit.runtimes.litert", "--mean"): ("bench", "deploy", "run"),
    ("edgekit.runtimes.litert", "--std"): ("bench", "deploy", "run"),
    ("edgekit.parity.executions", "--float"): ("parity",),
    ("edgekit.targets.registry", "--target"): ("build",),
    ("edgekit.search.candidates", "--data"): ("build",),  # the command that makes a choice
    ("edgekit.search.candidates", "--width"): ("build",),
    ("edgekit.search.candidates", "--resolution"): ("build",),
    ("edgekit.search.choose", "--target-option"): ("build",),
    ("edgekit.search.limits", "--size"): ("choose",),
    ("edgekit.targets.registry", "--target-option"): ("build",),
    ("edgekit.runtimes.open", "--cpu"): ("build",),
    ("edgekit.targets.onnx", "--cpu"): ("build",),
    ("edgekit.cli.weights", "--classes"): ("weights import",),
    ("edgekit.cli", "--quiet"): ("build", "train"),
    ("edgekit.cli.runs", "--yes"): ("runs prune",),
    ("edgekit.cli.grouped", "--help-all"): ("build", "train"),
    ("edgekit.cli.weights", "--overwrite"): ("weights import",),
}
#: Who can come to say what a module says, where others import it for what says nothing. The
#: longest name that a module's begins with counts; else all that import it, directly or not.
OWNERS = {
    "edgekit.converters.weights.export": ("weights export",),
    "edgekit.converters.weights.keras_export": ("weights export",),
    "edgekit.data.splits": ("build", "train"),
    "edgekit.options": ("build",),  # what training does not take cannot be wrong there
    "edgekit.options.recipes": ("build", "train"),
    "edgekit.data.boxes": ("bench", "build", "train"),
    "edgekit.data.boxes.splits": ("build", "train"),
    "edgekit.data.photo_files": ("build", "train"),
    "edgekit.data.folders": ("build", "train"),
    "edgekit.targets.measure.photos": ("bench",),  # deploy gives it no photos
    "edgekit.pipeline": ("build", "train"),
    "edgekit.bench.devices": ("bench", "build"),
    "edgekit.pipeline.build": ("build",),
    "edgekit.pipeline.push": ("push",),
    "edgekit.pipeline.report_data": ("build",),
    "edgekit.data.normalization": ("bench", "deploy", "run"),
    "edgekit.data.selection": ("build", "train"),
    "edgekit.data.shards.names": ("build", "train"),
    "edgekit.data.sources": ("build", "train"),
    "edgekit.data.split_folders": ("build", "train"),
    "edgekit.training": ("build", "train"),
    "edgekit.data.unlabelled": ("build", "train"),
    "edgekit.targets.edgetpu.options": ("compile",),
    "edgekit.targets.deploy": ("deploy",),
    "edgekit.targets.photo_model": ("run",),
    "edgekit.targets.ethosu": ("check", "choose", "compile"),
    "edgekit.targets.base": ("compile",),
    "edgekit.targets.imx500": ("check", "choose", "compile"),
    "edgekit.targets.qnn": ("check", "choose", "compile"),
    "edgekit.targets.qnn.rules": ("build",),  # which writes the file anew
    "edgekit.targets.rknn": ("check", "choose", "compile"),
    "edgekit.targets.rknn.rules": ("build",),
}
_NAME = r"--[a-z][a-z0-9-]*[a-z0-9](?![\w={-])"
_OPTION = re.compile(rf"(?<![\w/-]){_NAME}")
_COMMANDS = "|".join(sorted(commands(), key=len, reverse=True))
#: A command, and what belongs to it: the words up to the end of the clause.
_CALL = re.compile(rf"\bedgekit (?P<command>{_COMMANDS})\b(?P<rest>[^`,;)]*)")
_NO_CALL = re.compile(rf"(?<![\w.@\[])edgekit (?!(?:{_COMMANDS})\b)(?P<word>[a-z]+)")


def owners(module: str) -> tuple[str, ...]:
    """The commands that may print what a module says."""
    prefixes = [name for name in OWNERS if f"{module}.".startswith(f"{name}.")]
    return OWNERS[max(prefixes, key=len)] if prefixes else commands_of(module)


def _wrong(module: str, text: str) -> list[str]:
    """What a text names that does not exist, in words."""
    found = []
    for call in _CALL.finditer(text):
        known = options(call["command"])
        found += [
            f"edgekit {call['command']} has no {name}"
            for name in _OPTION.findall(call["rest"])
            if name not in known
        ]
    bare = _CALL.sub("", text)
    found += [
        f"edgekit has no command {call['word']}"
        for call in _NO_CALL.finditer(bare)
        if call["word"] not in PROSE
    ]
    for name in set(_OPTION.findall(bare)):
        is_for_pip = module.startswith("edgekit.targets.toolchains.") and name in OF_PIP
        if is_for_pip or (module, name) in OF_OTHERS:
            continue
        speakers = OWNERS_OF_ONE.get((module, name)) or owners(module)
        lacking = [command for command in speakers if name not in options(command)]
        if lacking:
            found.append(f"{name} is not of {', '.join(lacking)}, which reach this text")
    return found


def test_every_command_and_option_that_a_text_names_exists():
    wrong = [
        f"{module}:{line}: {text!r}: {problem}"
        for module in sources()
        if not WORKER.fullmatch(module)
        for line, text in texts(module)
        for problem in _wrong(module, text)
    ]
    assert not wrong, "\n".join(wrong)
