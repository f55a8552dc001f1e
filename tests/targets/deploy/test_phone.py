"""A model on the stand-in for a phone, with the real adb client."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tiny_tflite import TinyModel

from edgekit.errors import EdgekitError
from edgekit.targets.deploy import phone as deploy_phone
from edgekit.targets.deploy.phone import on_phone
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.measure import device as measuring


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TinyModel().pack())
    return path


def test_it_answers_as_the_host_does(phone, model):
    said = on_phone(phone.url, sys.executable, None)(model)
    assert said.startswith("answers as this host does with ai_edge_litert")
    assert said.endswith("(largest difference 0)")


@pytest.mark.slow  # deploy/test_deploy has the same of a device
def test_another_answer_is_an_error(phone, model, monkeypatch):
    here = measuring.measure

    def off(host, job, progress, python=None):
        measured = here(host, job, progress, python)
        if isinstance(host, LocalHost):
            measured.outputs = {k: np.roll(v, 1, axis=1) for k, v in measured.outputs.items()}
        return measured

    check = on_phone(phone.url, sys.executable, None)
    monkeypatch.setattr(deploy_phone.measuring, "measure", off)
    with pytest.raises(EdgekitError, match="does not answer as this host does"):
        check(model)
