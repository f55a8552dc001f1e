"""A Graph keeps its variant as plain data, and files from before that word say it too."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from narrow import narrow
from safetensors.numpy import save_file

from edgekit import networks
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.graph import Graph
from edgekit.networks.segmentation.decoders import DeepLab

SPEC = narrow("lite0")


@pytest.fixture(scope="module")
def graph():
    return build_graph(SPEC, classes=2, resolution=32)


def saved_with(graph, path, **changes):
    """Saves a graph, then puts other entries into its header."""
    graph.save(path)
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    record = json.loads(header["__metadata__"]["edgekit"]) | changes
    record = {name: value for name, value in record.items() if value is not None}
    save_file(dict(graph.weights), path, {"edgekit": json.dumps(record)})
    return path


def test_an_origin_is_the_same_after_json(graph):
    assert json.loads(json.dumps(graph.origin)) == graph.origin
    assert graph.origin["family"] == "efficientnet"
    assert spec_of(graph) == SPEC


def test_a_decoder_is_kept_and_a_network_without_one_says_nothing_of_it(graph, tmp_path):
    assert "decoder" not in graph.origin
    spec = SPEC.with_decoder(DeepLab(8, 8, (1, 2, 3), 4, "timm"))
    build_graph(spec, classes=2, resolution=32).save(tmp_path / "g")
    assert spec_of(Graph.load(tmp_path / "g")) == spec


def test_a_decoder_that_is_none_is_refused(graph, tmp_path):
    for wrong in ("unet", {"kind": "fpn"}, {"kind": "unet", "depth": 3}, {}):
        origin = {**graph.origin, "decoder": wrong}
        loaded = Graph.load(saved_with(graph, tmp_path / "g", origin=origin))
        with pytest.raises(UsageError, match="the origin of lite0 is damaged"):
            spec_of(loaded)


def test_an_older_file_has_its_variant_without_a_family(graph, tmp_path):
    loaded = Graph.load(saved_with(graph, tmp_path / "g", origin=None, spec=asdict(SPEC)))
    assert "family" not in loaded.origin
    assert spec_of(loaded) == SPEC


def test_the_oldest_files_have_none(graph, tmp_path):
    loaded = Graph.load(saved_with(graph, tmp_path / "g", origin=None))
    assert (loaded.origin, spec_of(loaded)) == (None, None)


def test_another_family_is_of_no_variant(graph, tmp_path):
    origin = {"family": "other", "width": [1, 2]}
    loaded = Graph.load(saved_with(graph, tmp_path / "g", origin=origin))
    assert (loaded.origin, spec_of(loaded)) == (origin, None)


def test_other_fields_are_refused(graph, tmp_path):
    with pytest.raises(UsageError, match="the origin of lite0 is damaged") as caught:
        spec_of(replace(graph, origin={**graph.origin, "wings": 2}))
    assert "wings" in caught.value.cause
    with pytest.raises(UsageError, match="cannot read the graph"):
        Graph.load(saved_with(graph, tmp_path / "g", origin=["b0"]))


def test_only_the_family_knows_the_family():
    files = Path(networks.__file__).parent.glob("*.py")
    assert not [path.name for path in files if "efficientnet" in path.read_text()]
