"""The files that edgekit writes, in the TensorFlow of the Edge TPU compiler's generation.

`make test-legacy` sets EDGEKIT_PY38 to a Python 3.8 with tensorflow-cpu 2.5.3 (and, to check the
metadata, tflite-support 0.3.1). EDGEKIT_LEGACY_FILES adds files, separated as PATH is.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import legacy_files
import numpy as np
import places
import pytest
from ai_edge_litert.interpreter import OpResolverType
from prerequisites import needs

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.targets.edgetpu.mapping import predict
from edgekit.targets.edgetpu.rules import check_edgetpu

PYTHON = os.environ.get("EDGEKIT_PY38", "")
FILES = [Path(p) for p in os.environ.get("EDGEKIT_LEGACY_FILES", "").split(os.pathsep) if p]
BUILTIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES

pytestmark = [
    pytest.mark.legacy,
    needs("python3.8", bool(PYTHON)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Networks and operators, with what TensorFlow 2.5 gave for them."""
    folder = tmp_path_factory.mktemp("legacy")
    whole = [*legacy_files.networks(), *((f"given-{p.stem}", p.read_bytes()) for p in FILES)]
    for name, data in whole:
        legacy_files.write(folder / f"net-{name}.tflite", data)
        for part, alone in legacy_files.operators(data):
            legacy_files.write(folder / f"{part}-{name}.tflite", alone)
    script = places.TESTS / "support" / "run_tf25.py"
    done = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("2.5.")
    return folder


def test_the_networks_pass_every_rule_of_the_edge_tpu(folder):
    for name in ("b0", "lite0"):
        model = tflite_file.read(folder / f"net-{name}-w8a8-static-uint8.tflite")
        assert check_edgetpu(model) == []
        found = predict(model)
        assert (found.on_cpu, found.subgraphs) == (0, 1)
        assert "AVERAGE_POOL_2D" in {op.name for op in found.operators}


def test_each_operator_gives_the_same_to_one_step(folder):
    """On equal inputs; through a whole network the roundings of two runtimes drift apart."""
    paths = sorted(folder.glob("op*.tflite"))
    assert len(paths) > 50
    far = {}
    for path in paths:
        old = np.load(path.with_suffix(".out.npy")).astype(int)
        far[path.name] = int(np.abs(legacy_files.run(path).astype(int) - old).max())
    assert {name: steps for name, steps in far.items() if steps > 1} == {}


def test_whole_networks_drift_no_further_than_litert_from_itself(folder):
    for path in folder.glob("net-*.tflite"):
        old = np.load(path.with_suffix(".out.npy")).astype(float)
        new, other = legacy_files.run(path), legacy_files.run(path, BUILTIN)
        assert len(np.unique(old)) > 5
        step = 1e-4 * np.abs(old).max() if new.dtype == np.float32 else 1
        drift = np.abs(new.astype(float) - other).mean()
        assert np.abs(new - old).mean() <= step + 2 * drift, path.name


def test_the_standard_reader_sees_our_metadata(folder):
    read = 0
    for path in folder.glob("net-*.tflite"):
        seen = json.loads(path.with_suffix(".json").read_text())
        if seen is None:
            continue
        ours = read_metadata(path)
        assert (seen["name"], seen["min_parser_version"]) == (ours.name, ours.min_parser_version)
        assert seen["packed"] == list(ours.files)
        graph = seen["subgraph_metadata"][0]
        labels = graph["output_tensor_metadata"][0]["associated_files"][0]
        assert (labels["name"], labels["type"]) == (ours.labels_file, "TENSOR_AXIS_LABELS")
        options = graph["input_tensor_metadata"][0]["process_units"][0]["options"]
        np.testing.assert_allclose(options["mean"], ours.mean, rtol=1e-5)
        np.testing.assert_allclose(options["std"], ours.std, rtol=1e-5)
        read += 1
    if not read:
        pytest.skip("tflite-support is not installed there")
