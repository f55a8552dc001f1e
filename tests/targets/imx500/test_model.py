"""With Sony's packages: MCT's network answers like the float one, and the converter packs it."""

from __future__ import annotations

import io
import json
import shutil
import zipfile

import numpy as np
import pooled
import pytest
import torch
from prerequisites import needs

from edgekit.cli import run
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import CompileError, MissingToolError, UsageError
from edgekit.networks.torch_network import Network
from edgekit.targets import registry
from edgekit.targets.imx500 import compiler
from edgekit.targets.imx500.model import answer, read_record, write_quantized
from edgekit.targets.imx500.options import ConverterOptions
from edgekit.targets.imx500.toolchain import TOOLCHAIN

pytestmark = [
    pytest.mark.chips,
    pytest.mark.skipif(not TOOLCHAIN.is_installed, reason="needs edgekit toolchain install imx500"),
]
SIDE = 32
RECORD = Preprocessing(SIDE, (pooled.MEAN,) * 3, (pooled.STD,) * 3, tuple("abcdef"))
needs_java = needs("java", shutil.which("java") is not None)


@pytest.fixture(scope="module")
def graph():
    return pooled.plain("lite0", SIDE)


@pytest.fixture(scope="module")
def file(graph, tmp_path_factory):
    path = tmp_path_factory.mktemp("imx500") / "lite0.onnx"
    write_quantized(graph, RECORD, [pooled.pixels(16, SIDE)], path)
    return path


@torch.no_grad()
def test_it_answers_like_the_float_network(graph, file):
    pixels, steps = pooled.pixels(8, SIDE), []
    expected = (
        Network(graph)
        .eval()(torch.from_numpy(RECORD.normalize(pixels)).permute(0, 3, 1, 2))
        .numpy()
    )
    found = answer(file, pixels, lambda done, total: steps.append((done, total))).outputs
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert all(1 <= done <= 8 == total for done, total in steps)


def test_the_file_keeps_its_classes(file):
    assert read_record(file).labels == RECORD.labels
    assert registry.find("imx500").examine(file).findings == ()


@needs_java
def test_the_converter_packs_it(file, tmp_path):
    made = compiler.compile_file(file, tmp_path, ConverterOptions())
    packer, labels = made.outputs
    with zipfile.ZipFile(io.BytesIO(packer.read_bytes())) as archive:
        assert {"dnnParams.xml", "l2staticData.bin"} <= set(archive.namelist())
    assert labels.read_text("utf-8").split() == list(RECORD.labels)
    assert made.chip.fits is True
    assert made.on_cpu == 0 < made.mapped
    assert "imx500-package" in made.summary
    assert made.log.read_text("utf-8")


@needs_java
def test_check_says_the_memory(file, capsys):
    assert run(["check", str(file), "--target", "imx500", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fits"] is True
    assert found["memory"]["in all"] < 8 * 2**20


def test_a_file_of_others_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        read_record(tmp_path / "none.onnx")


@needs_java
def test_an_onnx_file_without_quantizers_is_refused(graph, tmp_path):
    from edgekit.converters.onnx.write import convert

    path = tmp_path / "fp32.onnx"
    path.write_bytes(convert(graph))
    with pytest.raises(CompileError, match=r"does not take fp32\.onnx"):
        compiler.convert(path, ConverterOptions())


def test_java_is_asked_for(file, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingToolError, match="needs java") as raised:
        compiler.convert(file, ConverterOptions())
    assert raised.value.hint == "apt install default-jre-headless"
