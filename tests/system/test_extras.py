"""Packages that need not be there: quiet when they are imported, named where they are missing."""

import re
import sys
import warnings

import pytest
from places import ROOT

from edgekit.errors import MissingToolError
from edgekit.system.extras import (
    NEWEST_PYTHONS,
    import_optional,
    missing,
    missing_of_ours,
    require,
)
from edgekit.system.toml import read_toml


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes a package of some lines of Python; its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(text, name="edgekit_test_package"):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return make


def test_what_a_package_says_at_its_start_is_dropped(package, capfd):
    name = package(
        "import os, sys, warnings\n"
        "os.write(2, b'native start-up line')\n"
        "warnings.warn('deprecated')\n"
        "answer = 42\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert import_optional(name).answer == 42
    assert capfd.readouterr() == ("", "")


def test_a_missing_package_is_named_with_the_extra_that_brings_it():
    with pytest.raises(MissingToolError) as caught:
        import_optional("no_such_package.module", "tensorflow", "a checkpoint")
    error = caught.value
    assert (error.message, error.cause) == (
        "a checkpoint needs the package no_such_package",
        "it is not installed",
    )
    assert (error.hint, error.exit_code) == ('pip install "edgekit[tensorflow]"', 3)


def test_a_python_that_an_extra_has_no_build_for_is_named():
    error = missing("tensorflow", "keras", ModuleNotFoundError(), python=(3, 14))
    assert error.cause == "it is not installed, and has no build for Python 3.14"
    assert (
        error.hint == 'an environment of Python 3.13, and there pip install "edgekit[tensorflow]"'
    )
    assert "3.14" not in str(missing("onnx", "onnx", ModuleNotFoundError(), python=(3, 14)))


def test_the_newest_pythons_are_those_of_the_markers():
    extras = read_toml(ROOT / "pyproject.toml", "project")["project"]["optional-dependencies"]
    found = {
        name: (3, int(minor) - 1)
        for name, lines in extras.items()
        for line in lines
        for minor in re.findall(r"python_version < '3\.(\d+)'", line)
    }
    assert found == NEWEST_PYTHONS


def test_a_package_of_no_extra_is_installed_by_its_name():
    with pytest.raises(MissingToolError) as caught:
        import_optional("no_such_package")
    assert caught.value.hint == "pip install no_such_package"


def test_what_a_package_lacks_itself_is_named(package):
    """Keras is installed alone, for example, without its backend."""
    name = package("import no_such_backend")
    with pytest.raises(MissingToolError, match="needs the package no_such_backend"):
        import_optional(name, "tensorflow")


@pytest.mark.parametrize("error", ["ImportError", "RuntimeError", "AttributeError"])
def test_a_package_that_does_not_fit_the_others_says_why(package, error):
    name = package(f"raise {error}('built for another NumPy\\nand so on')")
    with pytest.raises(MissingToolError) as caught:
        import_optional(name, "onnx")
    assert caught.value.cause == "it cannot be imported: built for another NumPy"


def test_packages_are_demanded_without_importing_them(package):
    name = package("raise SystemExit")
    require("onnx", name)
    with pytest.raises(MissingToolError, match="no_such_package") as caught:
        require("onnx", name, "no_such_package")
    assert caught.value.hint == 'pip install "edgekit[onnx]"'


def test_a_module_of_ours_that_is_missing_is_a_fault_and_no_missing_package():
    error = missing_of_ours(ModuleNotFoundError("No module named 'PIL.Image'", name="PIL.Image"))
    assert error is not None
    assert (error.message, error.exit_code) == ("this needs the package PIL", 3)
    assert missing_of_ours(ModuleNotFoundError("none", name="edgekit.gone")) is None
    assert missing_of_ours(ModuleNotFoundError("none")) is None
