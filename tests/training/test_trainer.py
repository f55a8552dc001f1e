"""Training learns, resumes to the same weights, and reports what it did."""

import signal

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.data.photo_files import UnreadablePhotoError
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import EdgekitError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.training.checkpoint import CHECKPOINT, PREVIOUS
from edgekit.training.engine import Engine
from edgekit.training.job import TrainingJob
from edgekit.training.recipe import Recipe
from edgekit.training.trainer import Trainer, bn_momentum

SIZE = 32
#: Narrow and shallow: what a step does is the same in a tenth of the time.
SPEC = narrow("lite0")

#: In full precision: bfloat16 is the default on some processors.
PARTS = Engine(precision="fp32", micro_batch=5)
AGAIN = Engine(precision="fp32", recompute=True)


def trainer(folder, *, epochs=2, advance=None, engine=None, targets=None, **recipe):
    """A tiny run: half-trained on a handful of shapes."""
    train = SyntheticPhotos(48, 0, "train", SIZE)
    val = SyntheticPhotos(20, 0, "val", SIZE)
    labels = tuple("abcdefghij")
    folder.mkdir(exist_ok=True)
    return Trainer(
        TrainingJob(
            build_graph(SPEC, classes=10, resolution=SIZE, seed=0),
            train,
            val,
            Preprocessing(SIZE, SPEC.mean, SPEC.std, labels, crop_fraction=1.0),
            Recipe(**{"epochs": epochs, "batch_size": 16} | recipe),
            targets,
        ),
        folder,
        engine=engine or Engine(precision="fp32"),
        advance=advance,
    )


def stop(number):
    """What a signal does, without one: native code of other tests may handle real ones as well.

    Real ones are sent to processes of their own, in tests/cli/test_train.py.
    """
    signal.getsignal(number)(number, None)


def same(one, other):
    return all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_two_runs_are_equal_and_a_resumed_one_too(tmp_path):
    graph, history = trainer(tmp_path / "a").run()
    again, _ = trainer(tmp_path / "b").run()
    assert same(graph, again)

    class StopError(Exception):
        pass

    def stop_in_the_second_epoch(done, total, note):
        if done == 5:  # three steps an epoch
            raise StopError

    with pytest.raises(StopError):
        trainer(tmp_path / "c", advance=stop_in_the_second_epoch).run()
    assert (tmp_path / "c" / CHECKPOINT).exists()
    steps = []
    resumed = trainer(tmp_path / "c", advance=lambda done, total, note: steps.append(done))
    graph_resumed, history_resumed = resumed.run()
    assert steps[0] == 4  # the first epoch is not done again
    assert same(graph, graph_resumed)
    assert [e.train_loss for e in history_resumed] == [e.train_loss for e in history]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_saves_in_the_middle_of_an_epoch_and_the_weights_are_the_same(tmp_path, number):
    varied = {"policy": "rand", "mixup": 0.2, "erasing": 0.3, "drop_connect": True}
    graph, history = trainer(tmp_path / "a", epochs=2, **varied).run()

    def ask_to_stop(at):
        def advance(done, total, note):
            if done == at:
                stop(number)

        return advance

    for step in (2, 3, 5):  # three steps an epoch: within the first, at its end, in the second
        with pytest.raises(KeyboardInterrupt):
            trainer(tmp_path / "b", epochs=2, advance=ask_to_stop(step), **varied).run()
    steps = []
    resumed = trainer(
        tmp_path / "b", epochs=2, advance=lambda done, total, note: steps.append(done), **varied
    )
    again, history_again = resumed.run()
    assert steps == [6]
    assert same(graph, again)
    assert [e.train_loss for e in history_again] == [e.train_loss for e in history]
    assert [e.learning_rate for e in history_again] == [e.learning_rate for e in history]


def test_a_signal_during_validation_ends_the_run_after_it(tmp_path, monkeypatch):
    run = trainer(tmp_path / "a", epochs=1)
    validate = run._validate

    def interrupted():
        stop(signal.SIGTERM)
        return validate()

    monkeypatch.setattr(run, "_validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    steps = []
    _, history = trainer(tmp_path / "a", epochs=1, advance=lambda *told: steps.append(told)).run()
    assert not steps
    assert len(history) == 1


def test_a_run_is_saved_within_an_epoch_from_time_to_time(tmp_path):
    class StopError(Exception):
        pass

    def fail(done, total, note):
        if done == 3:
            raise StopError

    with pytest.raises(StopError):
        trainer(tmp_path / "a", advance=fail, engine=Engine(save_seconds=1e-9)).run()
    state = torch.load(tmp_path / "a" / CHECKPOINT, weights_only=True)
    assert state["position"]["step"] == 2
    assert (tmp_path / "a" / PREVIOUS).exists()


def test_the_input_grows_over_the_stages(tmp_path):
    _, history = trainer(tmp_path / "a", epochs=4, stages=2, first_size=0.5).run()
    assert [epoch.resolution for epoch in history] == [24, 24, 32, 32]


def test_dropout_is_the_recipes(tmp_path):
    run = trainer(tmp_path / "a", epochs=2, stages=2, dropout=0.4, first_dropout=0.1)
    run.run()
    assert run.network.layers["logits"].node.dropout == 0.4
    assert run.network.to_graph().nodes[-1].dropout == pytest.approx(0.2)


def test_probabilities_can_be_learned_in_place_of_labels(tmp_path):
    targets = np.eye(10, dtype=np.float32)[SyntheticPhotos(48, 0, "train", SIZE).labels]
    by_label, _ = trainer(tmp_path / "a", epochs=1).run()
    by_target, _ = trainer(tmp_path / "b", epochs=1, targets=targets).run()
    for name, values in by_label.weights.items():
        np.testing.assert_allclose(by_target.weights[name], values, atol=1e-5)
    other, _ = trainer(tmp_path / "c", epochs=1, targets=targets[::-1].copy()).run()
    assert not same(by_label, other)


def test_micro_batches_add_up_to_the_step(tmp_path):
    still = {"freeze_norm": True, "drop_connect": False, "dropout": 0.0, "optimizer": "sgd"}
    whole, _ = trainer(tmp_path / "a", epochs=1, **still).run()
    parts, _ = trainer(tmp_path / "b", epochs=1, engine=PARTS, **still).run()
    for name, values in whole.weights.items():
        np.testing.assert_allclose(parts.weights[name], values, atol=1e-5)


def test_what_is_recomputed_gives_the_same_weights(tmp_path):
    kept, _ = trainer(tmp_path / "a", epochs=1).run()
    again, _ = trainer(
        tmp_path / "b", epochs=1, engine=Engine(precision="fp32", recompute=True)
    ).run()
    for name, values in kept.weights.items():
        np.testing.assert_allclose(again.weights[name], values, atol=1e-4, err_msg=name)


def test_a_run_in_bfloat16_learns_as_much_but_not_the_same(tmp_path):
    full, history = trainer(tmp_path / "a", epochs=1).run()
    half, history_half = trainer(tmp_path / "b", epochs=1, engine=Engine(precision="bf16")).run()
    assert not same(full, half)
    assert history_half[0].train_loss == pytest.approx(history[0].train_loss, rel=0.02)
    assert all(array.dtype == np.float32 for array in half.weights.values())


@pytest.mark.slow  # data/test_cache has the limit
def test_kept_photos_are_the_same_whatever_room_there_is(tmp_path):
    much, _ = trainer(tmp_path / "a", epochs=2, engine=Engine(cache_bytes=2**30)).run()
    little, _ = trainer(tmp_path / "b", epochs=2, engine=Engine(cache_bytes=40_000)).run()
    assert same(much, little)


def test_speed_is_told(tmp_path):
    notes = []
    _, history = trainer(
        tmp_path / "a", epochs=1, advance=lambda *told: notes.append(told[2])
    ).run()
    assert "img/s" in notes[-1]
    assert "% waiting" in notes[-1]
    assert all(epoch.images_per_s > 0 and 0 <= epoch.waiting <= 1 for epoch in history)


def test_seeds_differ(tmp_path):
    one, _ = trainer(tmp_path / "a", epochs=1, seed=1).run()
    other, _ = trainer(tmp_path / "b", epochs=1, seed=2).run()
    assert not same(one, other)


@pytest.mark.slow  # cli/test_train looks at a run
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
    assert all(0 <= epoch.val_score <= 1 for epoch in history)


def test_a_diverged_run_names_the_batch_and_keeps_the_last_good_checkpoint(tmp_path):
    run = trainer(tmp_path / "a", epochs=3, optimizer="sgd", learning_rate=0.01)
    good = run.rates
    run.rates = lambda step: [1e30, 1e30] if step == 3 else good(step)
    with pytest.raises(EdgekitError, match=r"diverged in epoch 2, batch [23]") as caught:
        run.run()
    assert "/train-000" in caught.value.cause
    state = torch.load(tmp_path / "a" / CHECKPOINT, weights_only=True)
    assert [epoch["epoch"] for epoch in state["history"]] == [1]
    assert all(torch.isfinite(values).all() for values in state["network"].values())


def test_frozen_statistics_stay(tmp_path):
    run = trainer(tmp_path / "a", epochs=1, freeze_norm=True)
    before = run.network.to_graph()
    after, _ = run.run()
    for name in before.weights:
        if name.endswith(("/mean", "/variance")):
            np.testing.assert_array_equal(before.weights[name], after.weights[name])
    assert not np.array_equal(before.weights["stem/gamma"], after.weights["stem/gamma"])


def test_a_checkpoint_holds_no_code(tmp_path):
    trainer(tmp_path / "a", epochs=1).run()
    state = torch.load(tmp_path / "a" / CHECKPOINT, weights_only=True)
    assert {"network", "optimizer", "average", "history", "position"} <= set(state)


@pytest.mark.parametrize(
    ("steps", "momentum"), [(100, 0.1), (1000, 0.03), (100_000, 0.01), (0, 0.1)]
)
def test_short_runs_move_their_statistics_faster(steps, momentum):
    assert bn_momentum(steps) == pytest.approx(momentum)


def test_damaged_photos_that_nothing_had_checked_are_named_once_and_may_not_be_many(tmp_path):
    class Damaged(SyntheticPhotos):
        bad = 2

        def load(self, index, shrink=None):
            if index < self.bad:
                raise UnreadablePhotoError(f"the photo {index} cannot be read", cause="truncated")
            return super().load(index, shrink)

    said = []
    run = trainer(tmp_path / "a", epochs=2)
    run.train, run.warn = Damaged(48, 0, "train", SIZE), said.append
    run.run()
    assert sorted(said) == [
        f"the photo {k} cannot be read (truncated): training goes on without it" for k in (0, 1)
    ]
    run = trainer(tmp_path / "b", epochs=1)
    run.train = Damaged(48, 0, "train", SIZE)
    run.train.bad = 4  # of 48, a twelfth
    with pytest.raises(UnreadablePhotoError):
        run.run()
