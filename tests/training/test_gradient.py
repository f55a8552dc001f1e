"""A step's gradient is the same in any micro-batches, and as many photos are taken as fit."""

import pytest
import torch
from narrow import narrow
from torch.nn import functional as F

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.torch_network import Network
from edgekit.tasks.classification.task import TASK
from edgekit.training.engine import Engine
from edgekit.training.gradient import Gradient, largest_fitting, single_values
from edgekit.training.recompute import Recomputing
from edgekit.training.world import World

SIDE, PHOTOS, CLASSES = 32, 7, 5


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny layers are slower on several, far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(*, batch_size=PHOTOS, warn=None, frozen=True, **engine):
    """A network whose statistics stand still and that drops nothing."""
    graph = build_graph(narrow("lite0"), classes=CLASSES, resolution=SIDE, seed=0)
    network = Network(graph)
    network.eval()
    network.eval()
    return Gradient(network, Engine(**engine), batch_size, warn or pytest.fail, frozen=frozen)


def loss_of(gradient):
    return lambda x, y: F.cross_entropy(gradient.forward(x), y)


def photos(count=PHOTOS):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, SIDE, SIDE, generator=generator), torch.arange(count) % CLASSES


def step(**engine):
    gradient = make(**engine)
    loss = gradient.backward(loss_of(gradient), *photos())
    return loss, {name: p.grad for name, p in gradient.network.named_parameters()}


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("micro_batch", [1, 2, 3, 6, 7, 100])
def test_micro_batches_of_any_size_give_the_gradient_of_the_batch(micro_batch, recompute):
    gradient = make()
    x, y = photos()
    expected = F.cross_entropy(gradient.network(x), y)
    expected.backward()
    loss, grads = step(micro_batch=micro_batch, recompute=recompute)
    torch.testing.assert_close(loss, expected.detach())
    assert not loss.requires_grad
    for name, parameter in gradient.network.named_parameters():
        torch.testing.assert_close(grads[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_the_network_sees_the_micro_batches():
    gradient = make(micro_batch=3)
    seen = []

    def loss(x, y):
        seen.append(len(x))
        return loss_of(gradient)(x, y)

    gradient.backward(loss, *photos())
    assert seen == [3, 3, 1]


def test_processes_with_unequal_parts_average_to_the_gradient_of_all():
    """Of seven photos, two processes have four and three."""
    _, whole = step()
    x, y = photos()
    sums = {name: torch.zeros_like(grad) for name, grad in whole.items()}
    for rank in range(2):
        gradient = make(micro_batch=2)
        world = World(rank=rank, size=2)
        gradient.engine = Engine(world=world)
        mine = list(world.part(PHOTOS))
        gradient.backward(loss_of(gradient), x[mine], y[mine])
        for name, parameter in gradient.network.named_parameters():
            sums[name] += parameter.grad / world.size
    for name, grad in whole.items():
        torch.testing.assert_close(sums[name], grad, rtol=1e-4, atol=1e-6)


def test_recomputation_runs_the_same_network():
    gradient = make(recompute=True)
    assert isinstance(gradient.module, Recomputing)
    assert gradient.module.network is gradient.network


def test_shared_normalization_needs_gpus():
    with pytest.raises(UsageError, match="--sync-norm needs GPUs"):
        make(sync_norm=True, world=World(rank=0, size=2))


@pytest.mark.parametrize(
    ("count", "room", "tried"),
    [
        (64, 100, [64]),
        (64, 64, [64]),
        (64, 20, [64, 32, 16]),
        (7, 3, [7, 4, 2]),
        (5, 1, [5, 3, 2, 1]),
        (1, 1, [1]),
    ],
)
def test_halves_are_tried_until_one_fits(count, room, tried):
    seen = []

    def attempt(photos):
        seen.append(photos)
        if photos > room:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert largest_fitting(count, attempt) == tried[-1]
    assert seen == tried


def test_what_failed_is_forgotten_before_the_memory_is_given_back(monkeypatch):
    """Else the tensors of the attempt would still be in the frames of its error."""
    alive, seen = [], []

    class Tensors:
        def __init__(self):
            alive.append(self.__class__)

        def __del__(self):
            alive.pop()

    def attempt(photos):
        kept = Tensors()
        if photos > 1:
            raise torch.OutOfMemoryError(f"{kept}")

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(len(alive)))
    assert largest_fitting(4, attempt) == 1
    assert seen == [0, 0]


def test_a_single_photo_that_does_not_fit_is_an_error():
    def attempt(photos):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        largest_fitting(4, attempt)


def test_other_errors_of_an_attempt_pass():
    def attempt(photos):
        raise RuntimeError("a slip")

    with pytest.raises(RuntimeError, match="a slip"):
        largest_fitting(4, attempt)


@pytest.mark.parametrize(("room", "found"), [(100, 8), (3, 2)])
def test_the_search_leaves_nothing_behind_but_the_size(room, found):
    told = []
    gradient = make(batch_size=8, warn=told.append)
    before = {name: value.clone() for name, value in gradient.network.state_dict().items()}

    def loss(x, y):
        assert x.shape[1:] == (3, SIDE, SIDE)
        value = loss_of(gradient)(x, y)  # moves the statistics
        if len(x) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return value

    gradient.find_micro_batch(loss, TASK.learning.blank, SIDE)
    assert gradient.micro_batch == found
    assert all(parameter.grad is None for parameter in gradient.network.parameters())
    torch.testing.assert_close(gradient.network.state_dict(), before, rtol=0, atol=0)
    texts = [] if found == 8 else [f"{found} of a step's 8 photos fit into memory at once"]
    assert told == texts


def test_the_search_trains_so_that_it_takes_the_memory_of_training():
    gradient = make(batch_size=4, frozen=False)
    modes = []

    def loss(x, y):
        modes.append({module.training for module in gradient.network.modules()})
        return loss_of(gradient)(x, y)

    gradient.find_micro_batch(loss, TASK.learning.blank, SIDE)
    assert modes == [{True}]


def test_the_gradient_of_half_floats_is_scaled_and_their_loss_is_told_as_it_is():
    loss, grads = step()
    scaled_loss, scaled = step(precision="fp16")
    scale = make(precision="fp16").scaler.get_scale()
    assert scale > 1
    assert torch.equal(scaled_loss, loss)
    for name, grad in grads.items():
        torch.testing.assert_close(scaled[name] / scale, grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "micro_batch", "world"),
    [(1, None, World()), (7, 1, World()), (7, 3, World()), (3, None, World(rank=1, size=2))],
)
def test_a_lone_photo_is_refused_where_a_map_of_one_pixel_is_normalized(count, micro_batch, world):
    """The last stage at 32 pixels is one; DeepLab's pooled branch is one at any size."""
    with pytest.raises(UsageError, match="cannot be normalized over a single photo") as caught:
        make(batch_size=count, micro_batch=micro_batch, world=world, frozen=False)
    assert "--micro-batch" in caught.value.hint


def test_it_is_not_where_no_photo_is_alone_or_statistics_stand_still():
    assert make(batch_size=8, micro_batch=3, frozen=False).micro_batch == 3
    alone = make(batch_size=7, micro_batch=3)
    assert alone.micro_batch == 3
    assert single_values(alone.network)
