"""The averaged weights follow TensorFlow's rule, statistics included."""

import pytest
import torch
from torch import nn

from edgekit.training.average import Average


def network(value=0.0):
    made = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    move(made, value)
    return made


def move(network, value):
    for tensor in network.state_dict().values():
        tensor.fill_(value)


def test_the_decay_rises_with_the_updates_to_its_limit():
    trained = network()
    average = Average(trained, decay=0.3)
    expected = 0.0
    for update, decay in enumerate((1 / 10, 2 / 11, 3 / 12, 0.3, 0.3)):
        move(trained, update + 1)
        average.update(trained)
        expected = decay * expected + (1 - decay) * (update + 1)
        for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
            assert average.values[name].flatten().tolist() == pytest.approx(
                [expected] * average.values[name].numel()
            )


def test_counters_are_not_averaged():
    trained = network()
    average = Average(trained, decay=0.9999)
    move(trained, 7)
    average.update(trained)
    assert average.values["1.num_batches_tracked"] == 7


def test_no_decay_keeps_the_last_weights():
    trained = network()
    average = Average(trained, decay=0.0)
    for value in (3, 5):
        move(trained, value)
        average.update(trained)
    assert all((tensor == 5).all() for tensor in average.values.values())


def test_the_average_is_its_own():
    trained = network(1.0)
    average = Average(trained, decay=0.5)
    move(trained, 2.0)
    assert all((tensor == 1).all() for tensor in average.values.values())


def test_a_saved_one_goes_on_as_if_it_had_not_been_away():
    trained = network()
    whole, first = (Average(trained, decay=0.9999) for _ in range(2))
    for value in (1, 2):
        move(trained, value)
        whole.update(trained)
        first.update(trained)
    second = Average(network(9.0), decay=0.9999)
    second.load(first.values, first.updates)
    move(trained, 3)
    whole.update(trained)
    second.update(trained)
    for name, tensor in whole.values.items():
        assert torch.equal(second.values[name], tensor)
    assert not torch.equal(second.values["0.weight"], first.values["0.weight"])
