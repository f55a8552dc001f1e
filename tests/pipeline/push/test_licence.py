"""What licence a card names: what was kept of the weights, and nothing that was guessed."""

from __future__ import annotations

import pytest

from edgekit.networks.efficientnet.hub.record import Record, write_record
from edgekit.networks.efficientnet.hub.reference import HubReference
from edgekit.pipeline.push.licence import UNKNOWN, find_licence


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))


def origin(name):
    return {"name": name, "url": "https://example/weights"}


def test_random_weights_have_none():
    found = find_licence(None, "b0")
    assert (found.name, found.is_known, found.base) == (UNKNOWN, False, None)
    assert "random weights" in found.why


def test_a_file_has_none_though_it_be_called_like_a_tag():
    assert find_licence(origin("folder/weights.safetensors"), "b0").name == UNKNOWN


def test_published_weights_have_that_of_their_publisher():
    assert find_licence(origin("imagenet"), "b0").name == "apache-2.0"


def test_a_repository_has_that_of_its_card():
    write_record(HubReference("org/net"), Record(None, {}, "MIT"))
    found = find_licence(origin("hf://org/net"), "b0")
    assert (found.name, found.base) == ("mit", "org/net")


def test_a_repository_whose_card_names_none_has_none():
    found = find_licence(origin("hf://org/net"), "b0")
    assert (found.name, found.base) == (UNKNOWN, "org/net")


def test_timms_have_that_of_its_table():
    found = find_licence(origin("hf://timm/efficientnet_b0.ra_in1k"), "b0")
    assert found.name == "apache-2.0"


def test_what_the_user_says_counts_and_the_card_says_whose_word_it_is():
    found = find_licence(origin("imagenet"), "b0", "GPL-3.0")
    assert found.name == "gpl-3.0"
    assert "As its publisher says: GPL-3.0" in found.why
    assert "apache" in found.why.lower()
