"""Requirements are written by the real pip, from a real index on the loopback."""

from __future__ import annotations

import hashlib

import pytest
from wheels import make_wheel

from edgekit.errors import EdgekitError
from edgekit.targets.toolchains import lock
from edgekit.targets.toolchains.install import install
from edgekit.targets.toolchains.requirements import read_requirements
from edgekit.targets.toolchains.toolchain import Toolchain


@pytest.fixture
def asking(index):
    """A package that asks for another, and for jinja2."""
    metadata = "Metadata-Version: 2.1\nName: asking\nVersion: 1.0\n"
    metadata += "Requires-Dist: help-er>=1\nRequires-Dist: jinja2>=3\n"
    info = "asking-1.0.dist-info/METADATA"
    wheel = make_wheel(
        index.folder, "asking", "1.0", {"asking.py": "import jinja2, helper\n", info: metadata}
    )
    yield wheel
    wheel.unlink()


def test_all_but_what_is_borrowed_is_in_it(asking, wheels, tmp_path, capsys):
    path = tmp_path / "asking.txt"
    lock.main([str(path), "asking==1.0", "--without", "jinja2"])
    found = read_requirements(path)
    assert [(item.name, item.version) for item in found] == [("asking", "1.0"), ("help-er", "2.0")]
    assert found[1].hashes == {hashlib.sha256(wheels[1].read_bytes()).hexdigest()}
    assert "in 2 packages" in capsys.readouterr().out
    toolchain = Toolchain("asking", "It", "asking", ("asking",), "MIT", path, borrows=("jinja2",))
    install(toolchain)
    assert toolchain.is_ready


def test_a_package_alone_has_no_others(asking, tmp_path):
    (found,) = lock.lock([], alone=["asking==1.0"])
    assert found.name == "asking"


def test_what_does_not_fit_is_an_error(asking):
    with pytest.raises(EdgekitError, match="no packages that fit"):
        lock.lock(["asking==1.0", "help-er==0.5"], without=["jinja2"])


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("a-1-cp38-abi3-manylinux_2_28_aarch64.whl", True),
        ("a-1-cp310-cp310-macosx_11_0_arm64.whl", True),
        ("a-1-cp312-cp312-win_amd64.whl", True),
        ("a-1-py3-none-manylinux2014_x86_64.whl", True),
        ("a-1-cp39-cp39-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("a-1-cp313-cp313t-manylinux_2_17_x86_64.whl", False),
        ("a-1-pp310-pypy310_pp73-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp311-cp311-win32.whl", False),
        ("a-1.tar.gz", False),
    ],
)
def test_which_wheels_are_taken(name, taken):
    assert bool(lock.USABLE.search(name)) is taken
