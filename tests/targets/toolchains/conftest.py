"""A package index of small wheels, and toolchains made of them."""

from __future__ import annotations

import os

import pytest
from wheels import Index, make_wheel, write_requirements

from edgekit.targets.toolchains.toolchain import Toolchain


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Three wheels: one of them has a program, and is large enough to break off in."""
    folder = tmp_path_factory.mktemp("wheels")
    points = "[console_scripts]\ncarve = carver:main\n"
    tool = {
        "carver/__init__.py": "import helper\ndef main():\n    print('carved', helper.VALUE)\n",
        "carver/data.bin": os.urandom(1 << 18),
        "carver-1.5.dist-info/entry_points.txt": points,
    }
    return [
        make_wheel(folder, "carver", "1.5", tool),
        make_wheel(folder, "Help_er", "2.0", {"helper.py": "VALUE = 7\n"}),
        make_wheel(folder, "third", "0.1", {"third.py": "raise OSError('no libthird.so.3')\n"}),
    ]


@pytest.fixture
def index(wheels, monkeypatch, tmp_path):
    """The index that pip is configured with, and nothing else of pip's configuration."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    served = Index(wheels[0].parent)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "toolchains"))
    yield served
    served.close()


@pytest.fixture
def carver(wheels, index, tmp_path):
    """Returns a toolchain of the wheels."""

    def make(wrong=None, modules=("carver", "helper"), chosen=wheels, **rest):
        path = write_requirements(tmp_path / "carver.txt", chosen, wrong)
        return Toolchain("carver", "The carver", "carver", modules, "MIT", path, **rest)

    return make
