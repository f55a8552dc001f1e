"""The catalog: figures that are counted, figures that are quoted, and the rule between them."""

from dataclasses import replace

import pytest

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.catalog import (
    CHANNEL_RECORD,
    int8_size,
    list_models,
    post_training_drops,
    quantization_risk,
)
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.passes import fold_batch_norm


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in list_models()}


def test_every_variant_is_listed_in_the_order_of_the_family(rows):
    assert list(rows) == [*SPECS, *BASELINES]
    for number in range(9):
        assert f"b{number}" in rows
    assert {"l2", "lite0", "lite4", "es", "em", "el", "v2-b3", "v2-s", "v2-xl"} <= set(rows)


def test_every_row_has_the_same_keys(rows):
    assert len({tuple(row) for row in rows.values()}) == 1
    for row in rows.values():
        assert {tuple(sorted(figure)) for figure in row["published"]} <= {
            ("fp32_top1", "int8_top1", "method", "note", "source", "toolkit")
        }
        assert {tuple(sorted(figure)) for figure in row["latency"]} <= {
            ("device", "ms", "note", "precision", "source")
        }


def test_one_variant_can_be_asked_for(rows):
    (row,) = list_models("EfficientNet-Lite0")
    assert row == rows["lite0"]
    assert (row["parameters"], row["resolution"], row["activation"]) == (4_652_008, 224, "relu6")
    with pytest.raises(UsageError, match="b9"):
        list_models("b9")


def test_every_figure_has_a_source_and_is_possible(rows):
    for row in rows.values():
        for figure in row["published"]:
            assert figure["source"]
            assert figure["method"]
            assert figure["toolkit"]
            assert 65 < figure["fp32_top1"] < 90
            if figure["int8_top1"] is not None:
                assert 0 < figure["int8_top1"] < figure["fp32_top1"] + 0.1
        for figure in row["latency"]:
            assert figure["source"]
            assert figure["device"]
            assert 0 < figure["ms"] < 100
        for trap in row["traps"]:
            assert trap["text"]
            assert trap["source"]


@pytest.mark.parametrize(
    ("name", "toolkit", "fp32", "int8"),
    [
        ("b0", "NNCF, ONNX", 77.698, 77.190),
        ("lite0", "TFLite", 75.1, 74.4),
        ("lite1", "Hailo-8", 76.7, 76.3),
        ("es", "TFLite, on the Edge TPU", 77.23, 77.0),
        ("v2-s", "STM32 model zoo, ONNX", 83.52, 83.07),
    ],
)
def test_published_accuracies(rows, name, toolkit, fp32, int8):
    figures = [
        (f["fp32_top1"], f["int8_top1"]) for f in rows[name]["published"] if f["toolkit"] == toolkit
    ]
    assert (fp32, int8) in figures


def test_published_latency(rows):
    usb = [f for f in rows["es"]["latency"] if f["device"] == "Coral USB Accelerator"]
    assert [f["ms"] for f in usb] == [5.1]


def test_traps_reach_the_variants_that_they_are_about(rows):
    def tells(name, words):
        return any(words in trap["text"] for trap in rows[name]["traps"])

    assert tells("lite3", "300 px")
    assert not tells("lite0", "300 px")
    assert tells("lite2", "KL divergence")
    assert not tells("es", "KL divergence")
    assert tells("v2-xl", "symmetric about zero")
    # The figure that the trap is about warns of itself.
    assert "true drop" in next(
        f["note"] for f in rows["lite4"]["published"] if f["toolkit"] == "TFLite"
    )


PLAIN = replace(SPECS["lite0"], name="plain")
GATED = replace(SPECS["b0"], name="gated", activation="relu6")
SWISH = replace(SPECS["b0"], name="swish", squeeze_excite=False)


@pytest.mark.parametrize(
    ("spec", "drops", "level"),
    [
        (PLAIN, [], "low"),
        (PLAIN, [0.3], "low"),
        (PLAIN, [0.3, 44.0], "low"),
        (PLAIN, [1.5, 2.0], "medium"),
        (GATED, [], "medium"),
        (SWISH, [], "medium"),
        (SWISH, [0.5], "low"),
        (SWISH, [1.0], "high"),
        (SPECS["b0"], [], "high"),
        (SPECS["b0"], [0.5, 5.0], "high"),
        (SPECS["b0"], [0.5, 0.9], "medium"),
        (SPECS["b0"], [1.7], "high"),
    ],
)
def test_the_risk_follows_structure_and_evidence(spec, drops, level):
    assert quantization_risk(spec, drops)[0] == level


def test_the_risk_is_explained():
    assert quantization_risk(SPECS["b0"], [0.5, 5.0])[1] == (
        "swish and squeeze-excite give heavy-tailed activations; "
        "published post-training drops run from 0.50 to 5.00 points"
    )
    assert "no post-training int8 figure" in quantization_risk(PLAIN, [])[1]


def test_only_post_training_int8_counts_as_evidence():
    figures = [
        {"method": "float", "fp32_top1": 77.0, "int8_top1": None},
        {"method": "PTQ, min-max ranges", "fp32_top1": 77.0, "int8_top1": 76.0},
        {"method": "QAT", "fp32_top1": 77.0, "int8_top1": 50.0},
        {"method": "w8a16", "fp32_top1": 77.0, "int8_top1": 50.0},
        {"method": "mixed precision", "fp32_top1": 77.0, "int8_top1": 50.0},
    ]
    assert post_training_drops(figures) == [1.0]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        *(("b0", "high"), ("v2-s", "medium"), ("em", "low")),
        *(("mobilenet-v3-large", "high"), ("mobilenet-v3-large-minimalistic", "low")),
    ],
)
def test_risks_of_the_family(rows, name, level):
    assert rows[name]["quantization_risk"] == level


def test_a_network_for_segmentation_has_its_backbones_risk_and_traps(rows):
    (row,) = list_models("unet-b0")
    assert row["quantization_risk"] == rows["b0"]["quantization_risk"]
    assert row["quantization_reason"].endswith(rows["b0"]["quantization_reason"])
    assert "of the backbone" in row["quantization_reason"]
    assert row["traps"] == rows["b0"]["traps"]
    assert (row["published"], row["latency"], row["classes"]) == ([], [], 21)
    assert row["decoder"] == {"kind": "unet", "channels": [64, 48, 32, 24, 16], "taps": "tu"}
    assert row["macs"] > 2 * rows["b0"]["macs"]
    assert tuple(row) == tuple(rows["b0"])
    assert (rows["b0"]["classes"], rows["b0"]["decoder"]) == (1000, None)


def test_int8_weights_are_the_folded_networks(rows):
    folded = fold_batch_norm(build_graph(SPECS["lite0"], seed=0))
    kernels = sum(a.size for name, a in folded.weights.items() if name.endswith("/kernel"))
    biases = sum(a.size for name, a in folded.weights.items() if name.endswith("/bias"))
    assert len(folded.weights) == sum(
        name.endswith(("/kernel", "/bias")) for name in folded.weights
    )
    assert rows["lite0"]["int8_bytes"] == kernels + 4 * biases
    assert rows["lite0"]["int8_file_bytes"] == kernels + (4 + CHANNEL_RECORD) * biases


# reference: files that were built, in MB
@pytest.mark.parametrize(("name", "classes", "megabytes"), [("b0", 10, 4.9), ("v2-b0", 1000, 8.36)])
def test_the_estimated_file_is_near_a_built_one(name, classes, megabytes):
    graph = build_graph(SPECS[name], classes=classes, seed=None)
    channels, weights = int8_size(graph)
    assert (weights + CHANNEL_RECORD * channels) / 1e6 == pytest.approx(megabytes, rel=0.02)
