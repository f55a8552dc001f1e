"""``edgekit bench MODEL --device URL``, over ssh and adb, with names that shells would obey."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import benchmark_model_stand_in
import device
import numpy as np
import pytest
from PIL import Image
from prerequisites import skip_without
from tiny_tflite import CLASSES, SIZE, TinyModel

from edgekit.cli import run
from edgekit.targets.measure import device as measuring

NASTY = "a 'b' \"c\" $(touch never) `d` \n ü"
#: Runs a script as the program that this file is compiled to.
WRAPPER = """\
#include <unistd.h>
#include <stdlib.h>
int main(int count, char **words) {
  char **all = calloc(count + 2, sizeof(char *));
  all[0] = "/bin/sh", all[1] = SCRIPT;
  for (int i = 1; i < count; i++) all[i + 1] = words[i];
  execv(all[0], all);
  return 127;
}
"""


@pytest.fixture(autouse=True)
def journals(monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / f"{NASTY}.tflite"
    path.write_bytes(TinyModel().pack())
    return path


@pytest.fixture
def photos(tmp_path):
    """Two photos of each class, in a folder and classes of such names."""
    rng = np.random.default_rng(0)
    root = tmp_path / f"photos {NASTY}"
    for k in range(CLASSES):
        folder = root / f"{k} {NASTY}"
        folder.mkdir(parents=True)
        for n in range(2):
            pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{n} {NASTY}.png")
    return root


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    if lacking := device.missing():
        skip_without(lacking)
    with device.serve_device(tmp_path / "device") as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield server
        assert server.left() == []


def measured(capsys, *arguments) -> dict:
    code = run(["bench", *map(str, arguments), "--threads", "1", "--seconds", "0.02", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def check(document, url, photos):
    """The device answers as the host does, on all photos."""
    host, other = document["devices"]
    assert (host["device"], other["device"]) == ("local:", url)
    assert document["n"] == 2 * CLASSES
    (mine,), (theirs,) = host["accuracy"], other["accuracy"]
    assert mine["top1"] is not None
    assert theirs["agreement"] >= 0.9
    assert theirs["largest_difference"] <= 1
    assert other["timings"][0]["median"] > 0
    assert other["error"] is None
    assert not list(Path.cwd().glob("never*"))


def test_over_ssh(ssh, model, photos, tmp_path, capsys):
    out = tmp_path / "out.json"
    arguments = ["--device", ssh.url, "--data", str(photos), "--threads", "1", "--seconds", "0.02"]
    assert run(["bench", str(model), *arguments, "--out", str(out)]) == 0
    document = json.loads(out.read_text())
    check(document, ssh.url, photos)
    assert document["devices"][1]["how"].startswith("tflite_runtime 2.14.0")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["device", "runtime", "delegate", "threads"]
    assert lines[1].startswith("local: ")
    assert lines[2].startswith(ssh.url)


@pytest.mark.slow  # the program is that of ssh, the connection that of benchmark_model
def test_over_adb_with_python(phone, model, photos, capsys):
    document = measured(
        capsys, model, "--device", phone.url, "--data", photos, "--python", sys.executable
    )
    check(document, phone.url, photos)


@pytest.fixture
def binary(tmp_path):
    """A program of this machine that runs the stand-in."""
    gcc = shutil.which("gcc")
    if gcc is None:
        skip_without("gcc")
    script = benchmark_model_stand_in.install(tmp_path)
    source, path = tmp_path / "wrapper.c", tmp_path / "benchmark_model"
    source.write_text(WRAPPER)
    subprocess.run([gcc, f'-DSCRIPT="{script}"', "-o", path, source], check=True)
    return path


@pytest.mark.slow  # tests/targets/measure/benchmark_model has what runs there
def test_over_adb_with_benchmark_model(phone, model, photos, binary, capsys):
    document = measured(
        capsys, model, "--device", phone.url, "--data", photos, "--benchmark-binary", binary
    )
    check(document, phone.url, photos)
    assert document["devices"][1]["how"].startswith("benchmark_model ")


@pytest.mark.slow  # targets/measure/benchmark_model has the message
def test_a_binary_for_another_processor(phone, model, binary, capsys):
    data = bytearray(binary.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")  # e_machine: aarch64
    binary.write_bytes(data)
    arguments = ["--device", phone.url, "--benchmark-binary", str(binary), "--seconds", "0.02"]
    assert run(["bench", str(model), *arguments]) == 2
    assert "aarch64" in capsys.readouterr().err


@pytest.mark.slow  # tests/targets/test_measuring.py goes on where an agent stopped
def test_a_phone_that_is_unplugged_is_measured_to_the_end_the_next_time(
    phone, model, photos, binary, capsys, monkeypatch
):
    arguments = ["--device", phone.url, "--data", str(photos), "--benchmark-binary", str(binary)]
    arguments += ["--threads", "1", "--seconds", "0.02"]
    done, count, pulled = [], 2 * CLASSES, [True]
    original = measuring.Journal.output

    def output(self, step, photo, data):
        original(self, step, photo, data)
        done.append(photo)
        if pulled and len(done) == count + 4:  # the host answered first
            pulled.pop()
            phone.disconnect()

    monkeypatch.setattr(measuring.Journal, "output", output)
    monkeypatch.setattr("edgekit.targets.measure.benchmark_model.run.CHUNK", 4 * SIZE * SIZE * 3)
    assert run(["bench", str(model), *arguments]) == 4
    assert "local:" in capsys.readouterr().out  # what was measured is shown
    assert done[count:] == [0, 1, 2, 3]
    done.clear()
    phone.connect()
    assert run(["bench", str(model), *arguments]) == 0
    assert done[count:] == list(range(4, count))


def test_what_is_for_this_host_alone(model, capsys):
    assert run(["bench", str(model), "--device", "local:", "--photo", "x.png"]) == 2
    assert "leave out --device" in capsys.readouterr().err


def test_what_is_for_devices_needs_one(model, capsys):
    assert run(["bench", str(model), "--limit", "3"]) == 2
    assert "--device URL" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["CPU", "cuda", "pi@raspberry"])
def test_what_is_no_device(model, name, capsys):
    assert run(["bench", str(model), "--device", name]) == 2
    assert "--openvino-device" in capsys.readouterr().err
