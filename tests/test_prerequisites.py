"""What a test is skipped for want of is named at the end of a run, with the command for it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import TESTS
from prerequisites import NEEDS, needs

MARKED = """
import pytest
from places import TESTS
from prerequisites import NEEDS, needs, skip_without

@pytest.fixture
def server():
    skip_without("sshd")

def test_one(server): pass
def test_two(server): pass

@needs("adb", False)
def test_phone(): pass

@needs("gcc", True)
def test_that_runs(): pass

def test_package():
    pytest.importorskip("no_such_package", reason=NEEDS["openvino"].reason)

@pytest.mark.skip(reason="needs a CUDA device")
def test_for_another_machine(): pass
"""
MODULE = """
import pytest
from places import TESTS
from prerequisites import NEEDS
pytest.importorskip("no_such_package", reason=NEEDS["tensorflow"].reason)
def test_never(): pass
"""
EXPECTED = [
    "1 test for want of adb: apt-get install adb",
    "2 tests for want of OpenSSH's server: apt-get install openssh-server",
    '1 file for want of the package tensorflow: pip install -e ".[tensorflow]"',
    '1 test for want of the package openvino: pip install -e ".[openvino]"',
]


@pytest.fixture
def run(tmp_path):
    """Runs files of tests in a pytest of their own, with this project's conftest; its lines."""

    def pytest_of(files, *options):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        line = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider"]
        ran = subprocess.run(
            [*line, "--rootdir", tmp_path, "-c", os.devnull, *options, tmp_path],
            env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS / 'support'}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.splitlines()

    return pytest_of


# That several processes send what they skipped is seen at the end of every `make test`, too.
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_end_of_a_run_names_what_was_missing(run, workers):
    if workers:
        pytest.importorskip("xdist", reason=NEEDS["xdist"].reason)
    lines = run(
        {"test_marked.py": MARKED, "test_module.py": MODULE}, *(["-n", "2"] if workers else [])
    )
    first = next(n for n, line in enumerate(lines) if "what brings what was missing" in line)
    *section, after = lines[first + 1 : first + 2 + len(EXPECTED)]
    assert section == EXPECTED
    assert after.startswith(("=", "1 passed"))
    assert re.fullmatch(r"1 passed, 6 skipped in .*", lines[-1])


def test_a_run_that_lacks_nothing_says_nothing(run):
    lines = run({"test_fine.py": "def test_fine(): pass"})
    assert not any("what was missing" in line for line in lines)


def test_no_two_rows_have_the_same_reason():
    assert len({need.reason for need in NEEDS.values()}) == len(NEEDS)


def test_what_can_be_missing_is_skipped_for_with_reasons_of_the_table():
    for path in set(TESTS.rglob("*.py")) - {Path(needs.__code__.co_filename)}:
        text = path.read_text()
        for call in re.finditer(r"importorskip\((?P<arguments>[^()]*)\)", text):
            assert "reason=NEEDS[" in call["arguments"], path
        assert not re.search(r"skipif\(\s*(not )?([\w.]+\.)?(find_spec|which)\(", text), path
