"""Training learns, resumes to the same weights, and reports what it did."""

import numpy as np
import pytest
import torch

from edgekit.architecture import build_graph
from edgekit.errors import EdgekitError
from edgekit.preprocessing import Preprocessing
from edgekit.spec import SPECS
from edgekit.synthetic import SyntheticPhotos
from edgekit.training.recipe import Recipe
from edgekit.training.trainer import CHECKPOINT, Average, Trainer, bn_momentum

SIZE = 32


def trainer(folder, *, epochs=2, advance=None, **recipe):
    """A tiny run: half-trained on a handful of shapes."""
    spec = SPECS["lite0"]
    train = SyntheticPhotos(48, 0, "train", SIZE)
    val = SyntheticPhotos(20, 0, "val", SIZE)
    labels = tuple("abcdefghij")
    folder.mkdir(exist_ok=True)
    return Trainer(
        build_graph(spec, classes=10, resolution=SIZE, seed=0),
        train,
        val,
        Preprocessing(SIZE, spec.mean, spec.std, labels, crop_fraction=1.0),
        Recipe(epochs=epochs, batch_size=16, **recipe),
        folder,
        advance=advance,
    )


def same(one, other):
    return all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_two_runs_are_equal_and_a_resumed_one_too(tmp_path):
    graph, history = trainer(tmp_path / "a", epochs=3).run()
    again, _ = trainer(tmp_path / "b", epochs=3).run()
    assert same(graph, again)

    class StopError(Exception):
        pass

    def stop_in_the_second_epoch(done, total, note):
        if done == 5:  # three steps an epoch
            raise StopError

    with pytest.raises(StopError):
        trainer(tmp_path / "c", epochs=3, advance=stop_in_the_second_epoch).run()
    assert (tmp_path / "c" / CHECKPOINT).exists()
    steps = []
    resumed = trainer(
        tmp_path / "c", epochs=3, advance=lambda done, total, note: steps.append(done)
    )
    graph_resumed, history_resumed = resumed.run()
    assert steps[0] == 4  # the first epoch is not done again
    assert same(graph, graph_resumed)
    assert [e.train_loss for e in history_resumed] == [e.train_loss for e in history]


def test_seeds_differ(tmp_path):
    one, _ = trainer(tmp_path / "a", epochs=1, seed=1).run()
    other, _ = trainer(tmp_path / "b", epochs=1, seed=2).run()
    assert not same(one, other)


def test_the_loss_falls(tmp_path):
    _, history = trainer(
        tmp_path / "a",
        epochs=12,
        learning_rate=3e-3,
        label_smoothing=0.0,
        min_crop_area=1.0,
        flip=False,
    ).run()
    assert history[-1].train_loss < 0.75 * history[0].train_loss
    assert [epoch.epoch for epoch in history] == list(range(1, 13))
    assert all(0 <= epoch.val_top1 <= 1 for epoch in history)


def test_a_diverged_run_says_so(tmp_path):
    with pytest.raises(EdgekitError, match="diverged"):
        trainer(tmp_path / "a", epochs=3, optimizer="sgd", learning_rate=1e12).run()


def test_frozen_statistics_stay(tmp_path):
    run = trainer(tmp_path / "a", epochs=1, freeze_norm=True)
    before = run.network.to_graph()
    after, _ = run.run()
    for name in before.weights:
        if name.endswith(("/mean", "/variance")):
            np.testing.assert_array_equal(before.weights[name], after.weights[name])
    assert not np.array_equal(before.weights["stem/gamma"], after.weights["stem/gamma"])


def test_the_average_follows_tensorflows_ramp():
    network = torch.nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    average = Average(network, 0.9999)
    network.weight.data.fill_(1.0)
    expected = 0.0
    for update in range(5):
        average.update(network)
        decay = (1 + update) / (10 + update)
        expected = decay * expected + (1 - decay)
        assert float(average.values["weight"]) == pytest.approx(expected)


def test_a_checkpoint_holds_no_code(tmp_path):
    trainer(tmp_path / "a", epochs=1).run()
    state = torch.load(tmp_path / "a" / CHECKPOINT, weights_only=True)
    assert set(state) == {"network", "optimizer", "average", "updates", "history"}


@pytest.mark.parametrize(
    ("steps", "momentum"), [(100, 0.1), (1000, 0.03), (100_000, 0.01), (0, 0.1)]
)
def test_short_runs_move_their_statistics_faster(steps, momentum):
    assert bn_momentum(steps) == pytest.approx(momentum)
