"""Native lines are dropped, and stderr is whole again afterwards."""

import os

import pytest

from edgekit.system.quiet import native_quiet


def test_only_the_body_is_quiet(capfd):
    os.write(2, b"before\n")
    with native_quiet():
        os.write(2, b"during\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_an_exception_restores_stderr_too(capfd):
    with pytest.raises(ZeroDivisionError), native_quiet():
        raise ZeroDivisionError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
