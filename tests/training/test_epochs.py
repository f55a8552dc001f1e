"""The meter adds up the losses of all photos, and reads those of a GPU a step late."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edgekit.training.epochs import Meter, Position
from edgekit.training.world import ALONE


class OnGpu:
    """A loss that lies on a GPU, and knows whether it was read."""

    device = SimpleNamespace(type="cuda")

    def __init__(self, value):
        self.value, self.read = value, False

    def __float__(self):
        self.read = True
        return self.value


def photos(*indices):
    return np.array(indices, np.int64)


def test_losses_are_weighted_by_the_photos_of_this_process():
    meter = Meter()
    meter.add(torch.tensor(2.0), photos(4, 5, 6), count=6, seconds=1.0)
    meter.add(torch.tensor(1.0), photos(7), count=2, seconds=3.0)
    assert meter.at == Position(step=2, loss=7.0, photos=8, seconds=4.0)
    assert meter.images_per_s == 2.0


def test_the_last_step_is_known_by_its_number_and_photos():
    meter = Meter(Position(step=5))
    assert math.isnan(meter.last_loss)
    for value, indices in ((2.0, (1, 2)), (3.0, (8, 9))):
        meter.add(torch.tensor(value), photos(*indices), count=2, seconds=1.0)
    assert (meter.last_loss, meter.last_step, meter.last_photos.tolist()) == (3.0, 6, [8, 9])


def test_a_gpus_loss_is_read_a_step_late():
    meter, first, second = Meter(), OnGpu(2.0), OnGpu(4.0)
    meter.add(first, photos(1, 2), count=2, seconds=1.0)
    assert not first.read
    assert (meter.at.step, meter.at.photos, meter.at.loss) == (1, 2, 0.0)
    meter.add(second, photos(3), count=1, seconds=1.0)
    assert first.read
    assert not second.read
    assert (meter.last_loss, meter.last_step, meter.last_photos.tolist()) == (2.0, 0, [1, 2])
    meter.settle()
    assert (meter.last_loss, meter.last_step, meter.at.loss) == (4.0, 1, 8.0)
    meter.settle()
    assert meter.at.loss == 8.0


@pytest.mark.parametrize(("world", "left"), [(ALONE, 4.0), ("first", 10.0), ("second", 0.0)])
def test_the_first_process_gathers_the_loss_of_all(world, left):
    if world is not ALONE:
        world = SimpleNamespace(leads=world == "first", total=lambda loss: [loss + 6.0])
    meter = Meter()
    meter.add(OnGpu(2.0), photos(1, 2), count=4, seconds=1.0)
    meter.gather(world)
    assert meter.at.loss == left


def test_waiting_is_a_share_of_the_time():
    assert Meter(Position(photos=30, seconds=4.0, waited=1.0)).waiting == 0.25
    assert (Meter().waiting, Meter().images_per_s) == (0.0, 0.0)
