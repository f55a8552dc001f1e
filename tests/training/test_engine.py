"""What torch cannot compile is run as it is, and told once."""

import shutil

import pytest
import torch
from prerequisites import needs
from torch import nn

from edgekit.training import engine
from edgekit.training.engine import compiled


@pytest.fixture
def told():
    return []


def failing(error):
    """A torch.compile whose result cannot be run."""

    def compile_(module):
        def run(x):
            failing.calls += 1
            raise error

        return run

    failing.calls = 0
    return compile_


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no C++ compiler\n  a stack\n  of lines"), "no C++ compiler"),
        (ImportError("no module triton"), "no module triton"),
        (OSError("read-only file system"), "read-only file system"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_what_cannot_be_compiled_is_run_as_it_is_and_told_once(monkeypatch, told, error, reason):
    monkeypatch.setattr(engine.torch, "compile", failing(error))
    module = nn.Linear(3, 2)
    forward = compiled(module, told.append)
    x = torch.ones(4, 3)
    for _ in range(3):
        assert torch.equal(forward(x), module(x))
    assert failing.calls == 1
    assert told == [f"torch.compile does not work here, training goes on without it: {reason}"]


def test_a_torch_that_compiles_nothing_at_all_is_enough(monkeypatch, told):
    def compile_(module):
        raise RuntimeError("torch.compile is not supported on this Python")

    monkeypatch.setattr(engine.torch, "compile", compile_)
    assert compiled(nn.Linear(3, 2), told.append)(torch.ones(4, 3)).shape == (4, 2)
    assert len(told) == 1


def test_too_little_memory_is_no_fault_of_the_compiler(monkeypatch, told):
    monkeypatch.setattr(engine.torch, "compile", failing(torch.OutOfMemoryError("out of memory")))
    forward = compiled(nn.Linear(3, 2), told.append)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            forward(torch.ones(4, 3))
    assert failing.calls == 2
    assert told == []


def test_an_error_of_the_module_itself_is_raised(monkeypatch, told):
    monkeypatch.setattr(engine.torch, "compile", lambda module: module)
    forward = compiled(nn.Linear(3, 2), told.append)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        forward(torch.ones(4, 5))


@pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError])
def test_other_errors_pass(monkeypatch, told, error):
    monkeypatch.setattr(engine.torch, "compile", failing(error()))
    with pytest.raises(error):
        compiled(nn.Linear(3, 2), told.append)(torch.ones(4, 3))
    assert told == []


@pytest.mark.slow
@needs("g++", bool(shutil.which("g++") or shutil.which("clang++")))
def test_torch_compiles_and_gives_the_same_gradient(told):
    module = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))
    x = torch.linspace(-1, 1, 12).reshape(4, 3)
    gradients = []
    for forward in (module, compiled(module, told.append)):
        module.zero_grad()
        forward(x).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in module.parameters()])
    assert told == []
    torch.testing.assert_close(*gradients)
