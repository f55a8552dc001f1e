"""Names of weights on a hub, as people write them."""

import pytest

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.hub.reference import (
    HubReference,
    check_architecture,
    check_known,
    find_reference,
)
from edgekit.networks.efficientnet.hub.tags import best_tag

RA4 = "efficientnet_b0.ra4_e3600_r224_in1k"
COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        (f"hf://timm/{RA4}", f"timm/{RA4}", None),
        (f"hf-hub:timm/{RA4}", f"timm/{RA4}", None),
        (f"hf_hub:timm/{RA4}", f"timm/{RA4}", None),
        (RA4, f"timm/{RA4}", None),
        ("tf_efficientnet_lite0.in1k", "timm/tf_efficientnet_lite0.in1k", None),
        (f"hf://me/My_Net-2.1@{COMMIT}", "me/My_Net-2.1", COMMIT),
        (f"{RA4}@refs/pr/1", f"timm/{RA4}", "refs/pr/1"),
    ],
)
def test_a_repository_is_found_by_what_people_write(text, repository, revision):
    assert find_reference(text) == HubReference(repository, revision)


@pytest.mark.parametrize(
    "text",
    [
        *("none", "imagenet", "weights.pth", "folder/model.safetensors", "/a/b@c.h5", "hub"),
        *("efficientnet_b0.pth", "tf_efficientnet_lite0-0aa007d2.pth", "efficientnet_b0.in1k.pth"),
        *("https://x.invalid/w.pth", "efficientnet_b0", "model.ckpt-109"),
    ],
)
def test_other_weights_are_not_taken_for_a_hubs(text):
    assert find_reference(text) is None


def test_a_file_that_is_called_like_a_tag_is_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / RA4).write_bytes(b"")
    assert find_reference(RA4) is None


@pytest.mark.parametrize(
    "text",
    [
        *("hf://", "hf://timm", "hf://timm/", "hf://a/b/c", "hf://../etc", "hf://a/.."),
        *("hf://a/b@", "hf://a/b@-x", "hf-hub:a b/c", "hf://timm/x@a@b"),
    ],
)
def test_what_names_no_repository_is_a_usage_error(text):
    with pytest.raises(UsageError, match="does not name a repository") as caught:
        find_reference(text)
    assert "hf://ORG/NAME@REVISION" in caught.value.hint


def test_a_tag_that_timm_does_not_have_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"no tag of timm's is called efficientnet_b0\.ra5_in1k"):
        find_reference("efficientnet_b0.ra5_in1k")


def test_the_best_is_chosen_by_the_variant_and_says_why():
    found = find_reference("hub", find_spec("unet-lite0"))
    assert found.repository == best_tag("lite0").repository
    assert "75.49 % at 224 px" in found.why
    with pytest.raises(UsageError, match="mobilenet-v2"):
        find_reference("Hub", find_spec("mobilenet-v2"))


def test_a_reference_reads_as_it_is_written():
    assert str(HubReference("a/b", "v1")) == "hf://a/b@v1"
    assert str(find_reference(RA4)) == f"hf://timm/{RA4}"


@pytest.mark.parametrize(
    ("architecture", "variant"),
    [
        ("efficientnet_b0", "b0"),
        ("tf_efficientnet_b0", "unet-b0"),
        ("tf_efficientnet_b0", "d0"),
        ("tf_efficientdet_d0", "d0"),
        ("tf_efficientnetv2_s", "v2-s"),
        ("tf_efficientnet_lite0.in1k", "lite0"),
    ],
)
def test_weights_of_the_variant_or_its_backbone_fit(architecture, variant):
    check_architecture(HubReference("a/b"), architecture, find_spec(variant))


@pytest.mark.parametrize(
    ("architecture", "variant", "words"),
    [
        ("efficientnet_b1", "b0", "efficientnet_b1, which is b1"),
        ("resnet50", "b0", "resnet50"),
        ("efficientnet_b1_pruned", "b1", "efficientnet_b1_pruned"),
        ("model.toml", "b0", "model"),
    ],
)
def test_weights_of_another_network_are_refused_with_both_names(architecture, variant, words):
    with pytest.raises(UsageError) as caught:
        check_architecture(HubReference("a/b"), architecture, find_spec(variant))
    assert f"hf://a/b are not of {variant}" in caught.value.message
    assert words in caught.value.cause


def test_a_known_tag_is_refused_before_anything_is_fetched():
    check_known(find_reference(RA4), find_spec("b0"))
    check_known(HubReference("me/tf_efficientnet_b1.in1k"), find_spec("b0"))  # theirs may be b0
    with pytest.raises(UsageError, match="not of lite0"):
        check_known(find_reference(RA4), find_spec("lite0"))
