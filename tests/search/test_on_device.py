from __future__ import annotations

import device
import pytest
from prerequisites import skip_without

from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.search.on_device import measure_on
from edgekit.targets import registry
from edgekit.targets.devices.hosts import LocalHost


def test_what_is_compiled_is_not_measured(tmp_path):
    with pytest.raises(UsageError, match="--device is not for the target edgetpu"):
        measure_on(LocalHost())(tmp_path / "a.tflite", registry.find("edgetpu"))


@pytest.mark.slow
def test_networks_are_measured_on_a_device(tmp_path, capsys, monkeypatch):
    if need := device.missing():
        skip_without(need)
    with device.serve_device(tmp_path) as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        words = ["choose", "--target", "tflite", "--latency", "1000", "--device", server.url]
        small = ["--models", "lite0", "--widths", "0.1", "--resolutions", "32"]
        assert run([*words, *small]) == 0
    shown = capsys.readouterr().out
    assert "lite0-w0.1    32" in shown
    assert "measured on" in shown
