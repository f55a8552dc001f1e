"""Completion in the shells themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prerequisites import skip_without

FOLDER = Path(sys.executable).parent
#: What each shell runs: it loads our script and says what it would complete a line to.
SCRIPTS = {
    "bash": 'eval "$(_EDGEKIT_COMPLETE=source_bash edgekit)"; '
    'COMP_WORDS=(edgekit {words} "{last}");'
    " COMP_CWORD={count}; _edgekit_completion edgekit; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    "fish": "_EDGEKIT_COMPLETE=source_fish edgekit | source; complete -C 'edgekit {words} {last}'",
    "zsh": 'autoload -U compinit; compinit -u -d "$HOME/dump"; '
    "_arguments() {{ print -l -- $@ }}; _describe() {{ print -l -- ${{(P)4}} }}; "
    'eval "$(_EDGEKIT_COMPLETE=source_zsh edgekit)"; '
    'words=(edgekit {words} "{last}"); CURRENT={place}; _edgekit_completion',
}


#: A shell starts edgekit twice, which takes a second: bash shows everything, others that they can.
LINES = [
    ("build", "lite", ["lite0", "lite1", "lite2", "lite3", "lite4"]),
    ("build b0 --quantize", "", ["ranges", "ptq", "qat", "auto"]),
    ("build b0 --target", "ed", ["edgetpu"]),
]


@pytest.mark.parametrize(
    ("shell", "words", "last", "wanted"),
    [
        *(("bash", *line) for line in LINES),
        *(pytest.param(name, *LINES[1], marks=pytest.mark.slow) for name in ("fish", "zsh")),
    ],
)
def test_a_shell_completes(shell, words, last, wanted, tmp_path):
    if shutil.which(shell) is None:
        skip_without(shell)
    if not (FOLDER / "edgekit").exists():
        skip_without("edgekit")
    count = len(words.split()) + 1
    script = SCRIPTS[shell].format(words=words, last=last, count=count, place=count + 1)
    environment = {**os.environ, "PATH": f"{FOLDER}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    found = set(re.findall(r"[\w-]+", ran.stdout))
    assert set(wanted) <= found, ran.stderr
    assert "b0" not in found
