"""``edgekit weights import`` and ``verify``."""

import importlib.util
import json
import shutil
import sys

import numpy as np
import places
import pytest
from hub_server import serve_hub, timm_repository
from narrow import make_narrow
from prerequisites import NEEDS, needs
from safetensors.numpy import save_file
from state_dicts import to_torch

from edgekit.cli import run
from edgekit.converters.weights import lukemelas, timm
from edgekit.converters.weights import verify as originals
from edgekit.errors import GateError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.system.hashing import hash_file

SHARED = places.SHARED / "weights"


@pytest.fixture
def small(monkeypatch):
    """What is said of a file does not depend on its size."""
    make_narrow(["lite0", "b0"], monkeypatch)


@pytest.fixture
def ours(small, tmp_path):
    path = tmp_path / "ours.safetensors"
    build_graph(SPECS["lite0"], classes=3, resolution=64, seed=2).save(path)
    return path


@pytest.mark.parametrize("name", ["hf://timm/efficientnet_b0.ra_in1k", "efficientnet_b0.ra_in1k"])
def test_weights_of_a_hub_are_read_by_their_name(name, small, tmp_path, monkeypatch, capsys):
    graph = build_graph(SPECS["b0"], classes=3, seed=2)
    with serve_hub(tmp_path, monkeypatch) as server:
        server.publish("timm/efficientnet_b0.ra_in1k", timm_repository(graph, "efficientnet_b0"))
        out = str(tmp_path / "out.safetensors")
        assert run(["weights", "import", name, "--model", "b0", "-o", out, "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["source"], record["assumptions"]) == ("timm", [])
        for key, array in Graph.load(out).weights.items():
            np.testing.assert_array_equal(array, graph.weights[key])
        assert run(["weights", "verify", name, "--model", "lite0"]) == 2
        assert "are not of lite0" in capsys.readouterr().err


def test_import_writes_a_network_and_says_what_it_read(tmp_path, capsys):
    ours = tmp_path / "ours.safetensors"
    build_graph(SPECS["lite0"], classes=3, resolution=64, seed=2).save(ours)
    out = tmp_path / "out.safetensors"
    words = ["weights", "import", str(ours), "--model", "lite0", "-o", str(out)]
    assert run([*words, "--classes", "5", "--resolution", "96", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    graph = Graph.load(out)
    assert (graph.classes, graph.resolution, spec_of(graph)) == (5, 96, SPECS["lite0"])
    assert record["sha256"] == hash_file(out)
    assert record["source"] == "edgekit"
    assert record["tensors"] == len(graph.weights)
    assert record["parameters"] == 4652008 - 995 * 1281
    assert (record["padding"], record["mean"]) == ("same", [127.0] * 3)
    assert "a fresh one took its place" in record["notes"][0]


def test_a_decoder_is_asked_for_as_in_a_build(ours, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    words = ["weights", "import", str(ours), "--model", "unet-lite0", "-o", str(out)]
    assert run([*words, "--decoder", "8,4", "--classes", "5", "--resolution", "64"]) == 0
    assert "decoder            kind unet; channels 8, 4; taps tu\n" in capsys.readouterr().out
    graph = Graph.load(out)
    assert (graph.classes, graph.output) == (5, "logits_resize")
    again = ["weights", "verify", str(out), "--model", "unet-lite0"]
    assert run([*again, "--decoder", "8,4"]) == 0
    assert "reference's outputs alone are compared" in capsys.readouterr().out
    assert run(again) == 2
    assert "--decoder 8,4" in capsys.readouterr().err


@needs("shared", SHARED.is_dir())
def test_an_oracles_logits_are_compared_by_pixel(tmp_path, capsys):
    folder = places.SHARED / "oracle" / "segmentation"
    name = "deeplabv3plus_timm-lite0-w050_os16"
    with np.load(folder / f"{name}.npz") as file:
        arrays = {"input_nhwc": file["input"], "logits": file["logits"]}
    np.savez(tmp_path / "r.npz", **{n: a.transpose(0, 2, 3, 1) for n, a in arrays.items()})
    words = ["weights", "verify", str(folder / f"{name}.safetensors"), "--model", "deeplab-lite0"]
    words += ["--width", "0.5", "--decoder", "48", "--resolution", "96"]
    words += ["--reference", str(tmp_path / "r.npz")]
    assert run([*words, "--aspp-rates", "2,4,6", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["largest_difference"] < 1e-5
    assert record["decoder"]["taps"] == "timm"
    assert run(words) == GateError.exit_code  # with smp's own rates
    assert "other --aspp-rates" in capsys.readouterr().err


def test_import_for_people(ours, tmp_path, capsys):
    words = ["weights", "import", str(ours), "--model", "lite0", "-o", str(tmp_path / "out")]
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert "padding            same\n" in out
    assert "mean               127, 127, 127\n" in out
    assert err == ""


def test_import_does_not_overwrite_unasked(ours, tmp_path, capsys):
    out = tmp_path / "out"
    out.write_text("mine")
    words = ["weights", "import", str(ours), "--model", "lite0", "-o", str(out)]
    assert run(words) == 2
    assert out.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 0
    assert Graph.load(out).classes == 3


@pytest.mark.parametrize("wrong", ["--model b1", "--model x", "--source timm", "--source x"])
def test_what_does_not_fit_writes_nothing(ours, tmp_path, wrong, capsys):
    words = ["weights", "import", str(ours), "-o", str(tmp_path / "out"), *wrong.split()]
    assert run(words if "--model" in wrong else [*words, "--model", "lite0"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["import", "verify"])
def test_hints_name_the_options_of_the_command(small, tmp_path, command, capsys):
    """A file of timm's does not say how it pads; a build calls the same option otherwise."""
    graph = build_graph(SPECS["lite0"], classes=3, resolution=32, seed=2)
    save_file(to_torch(graph, timm.NAMES), tmp_path / "w.safetensors")
    words = ["weights", command, str(tmp_path / "w.safetensors"), "--model", "lite0"]
    out = ["-o", str(tmp_path / "out"), "--json"] if command == "import" else ["--json"]
    code = run([*words, *out])
    record = json.loads(capsys.readouterr().out)
    assert code == (0 if command == "import" or importlib.util.find_spec("timm") else 3)
    assert any("say --source timm" in text for text in record["assumptions"])
    assert not any("--weights-source" in text for text in record["assumptions"])
    if command == "import":
        assert run([*words, *out, "--source", "timm", "--overwrite"]) == 0
        assert json.loads(capsys.readouterr().out)["padding"] == "symmetric"


def test_assumptions_are_called_so(small, tmp_path, capsys):
    graph = build_graph(SPECS["lite0"], classes=3, resolution=32, seed=2)
    save_file(dict(graph.weights), tmp_path / "w.safetensors")
    words = ["weights", "import", str(tmp_path / "w.safetensors"), "--model", "lite0"]
    assert run([*words, "-o", str(tmp_path / "out")]) == 0
    assert "\nassumed: mean 127, 127, 127 and std 128, 128, 128: " in capsys.readouterr().out


def test_import_without_a_classifier_asks_for_the_classes(small, tmp_path, capsys):
    graph = build_graph(SPECS["lite0"], classes=3, resolution=32, seed=2)
    state = {k: v for k, v in graph.weights.items() if not k.startswith("logits/")}
    save_file(state, tmp_path / "w.safetensors")
    words = ["weights", "import", str(tmp_path / "w.safetensors"), "--model", "lite0"]
    assert run([*words, "-o", str(tmp_path / "out")]) == 2
    assert "try:   the number of classes: --classes N" in capsys.readouterr().err
    assert run([*words, "-o", str(tmp_path / "out"), "--classes", "4"]) == 0
    verify = ["weights", "verify", str(tmp_path / "w.safetensors"), "--model", "lite0"]
    assert run(verify) == 0  # there is nothing to say: the rest is what is verified


def test_a_missing_library_is_named_after_what_was_checked(small, tmp_path, capsys, monkeypatch):
    graph = build_graph(SPECS["b0"], classes=3, resolution=32, seed=2)
    save_file(to_torch(graph, lukemelas.NAMES), tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, "efficientnet_pytorch", None)  # what an import of it meets
    assert run(["weights", "verify", str(tmp_path / "w.safetensors"), "--model", "b0"]) == 3
    out, err = capsys.readouterr()
    assert "source             lukemelas\n" in out
    assert "compared           not compared: running the original of these weights needs" in out
    assert "try:   pip install efficientnet_pytorch" in err


CASES = {
    "lightning.ckpt": "(under 'state_dict.model') are not those of b0\ncause: 'bn1.bias'",
    "orig_mod_module.pth": "(under '_orig_mod.module') are not those of b0\ncause: 'bn1.bias'",
    "model_state_dict.pt": "(under 'model_state_dict') are not those of b0\ncause: 'bn1.bias'",
    "net.pth": "(under 'net') are not those of b0\ncause: 'bn1.bias'",
    "lukemelas.pth": "are not those of b0\ncause: '_bn0.bias' (stem/beta) is missing",
    "timm_args.pth.tar": "cause: beside them: 'argparse.Namespace'",
}


@pytest.mark.parametrize("name", CASES)
@needs("shared", SHARED.is_dir())
def test_files_with_few_tensors_name_what_is_missing(name, tmp_path, capsys):
    path = SHARED.parent / "cases" / "weights" / name
    words = ["weights", "import", str(path), "--model", "b0", "-o", str(tmp_path / "out")]
    assert run(words) == 2
    assert CASES[name] in capsys.readouterr().err


def test_verify_says_plainly_what_was_not_compared(ours, capsys):
    assert run(["weights", "verify", str(ours), "--model", "lite0"]) == 0
    out = capsys.readouterr().out
    assert "not compared: no library runs the original of edgekit weights here" in out
    assert "checked            names, shapes and values of every tensor" in out


@pytest.mark.parametrize("right", [True, False])
def test_verify_against_a_reference(ours, tmp_path, right, capsys):
    graph = Graph.load(ours)
    inputs = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    logits = originals.run(graph, inputs) + (0 if right else 1)
    np.savez(tmp_path / "reference.npz", input_nhwc=inputs, logits=logits)
    words = ["weights", "verify", str(ours), "--model", "lite0", "--json"]
    code = run([*words, "--reference", str(tmp_path / "reference.npz")])
    out, err = capsys.readouterr()
    assert code == (0 if right else 5)
    assert (json.loads(out)["largest_difference"] < 1e-4) == right
    assert err == "" or "the logits are not the original's" in err


@pytest.mark.parametrize("contents", ["text", "logits", "classes"])
def test_a_reference_that_cannot_be_used(ours, tmp_path, contents, capsys):
    path = tmp_path / "reference.npz"
    if contents == "text":
        path.write_text("nothing")
    else:
        arrays = {"input_nhwc": np.zeros((1, 64, 64, 3)), "logits": np.zeros((1, 9))}
        np.savez(
            path, **{k: v for k, v in arrays.items() if contents == "classes" or k != contents}
        )
    words = ["weights", "verify", str(ours), "--model", "lite0", "--reference", str(path)]
    assert run(words) == 2
    assert "reference" in capsys.readouterr().err


@pytest.mark.slow  # tests/converters/test_keras_model.py compares with a Keras model too
@needs("shared", SHARED.is_dir())
def test_verify_runs_keras_itself(tmp_path, capsys):
    pytest.importorskip("keras", reason=NEEDS["keras"].reason)
    real = SHARED / "efficientnetv2-b0_imagenet_keras.weights.h5"
    assert run(["weights", "verify", str(real), "--model", "v2-b0", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["compared"].startswith("with keras ")
    assert record["largest_difference"] < 1e-4


@pytest.mark.slow
@needs("shared", SHARED.is_dir())
def test_verify_fails_where_keras_differs(tmp_path, capsys, monkeypatch):
    """The gate is real: with other preprocessing, the logits are not Keras'."""
    pytest.importorskip("keras", reason=NEEDS["keras"].reason)
    real = tmp_path / "v2.weights.h5"
    shutil.copy(SHARED / "efficientnetv2-b0_imagenet_keras.weights.h5", real)
    honest = originals.normalised
    monkeypatch.setattr(originals, "normalised", lambda graph, pixels: honest(graph, pixels + 9))
    assert run(["weights", "verify", str(real), "--model", "v2-b0"]) == 5
    assert "the logits are not the original's" in capsys.readouterr().err


@needs("tensorflow")
@needs("shared", SHARED.is_dir())
@pytest.mark.slow  # TensorFlow; the others verify files that need none
def test_verify_a_checkpoint_of_the_full_width_names_what_differs(capsys):
    folder = SHARED / "tf1" / "efficientnet-lite0-w0.5-c10"
    assert run(["weights", "verify", str(folder), "--model", "lite0"]) == 2
    assert "not those of lite0" in capsys.readouterr().err


@pytest.mark.slow  # TensorFlow; converters/weights/test_tf1 reads it
@needs("tensorflow")
@needs("shared", SHARED.is_dir())
@pytest.mark.parametrize(("more", "code"), [([], 0), (["--no-ema"], 5)])
def test_verify_googles_checkpoint_of_half_the_width(more, code, capsys):
    folder = SHARED / "tf1" / "efficientnet-lite0-w0.5-c10"
    words = ["weights", "verify", str(folder), "--model", "lite0", "--width", "0.5", *more]
    assert run([*words, "--reference", str(folder / "reference.npz"), "--json"]) == code
    assert json.loads(capsys.readouterr().out)["compared"].endswith("reference.npz")
