"""Networks learn masks, in float and in 8 bits, and resume to the same weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.qat import QuantizedTrainer
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.data.masks.shapes import MaskedShapes
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.passes import prepare
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.tasks.segmentation.task import TASK
from edgekit.training.engine import Engine
from edgekit.training.job import TrainingJob
from edgekit.training.recipe import QatRecipe, Recipe
from edgekit.training.trainer import Trainer

SIDE, CLASSES = 32, 11
PHOTOS, OTHERS = MaskedShapes(16, 0, "train", SIDE), MaskedShapes(6, 0, "val", SIDE)
RECORD = Preprocessing(
    SIDE, (127.0,) * 3, (128.0,) * 3, tuple("abcdefghijk"), crop_fraction=1.0, task="segmentation"
)
UNET, DEEPLAB = UNet(channels=(8, 8, 8, 8, 8)), DeepLab(channels=8, skip=8)


def graph(decoder=UNET):
    spec = replace(narrow("lite0"), decoder=decoder)
    return build_graph(spec, classes=CLASSES, resolution=SIDE, seed=0)


def trainer(folder, *, decoder=UNET, advance=None, micro_batch=None, **recipe):
    folder.mkdir(exist_ok=True)
    wanted = Recipe(**{"epochs": 2, "batch_size": 8, "label_smoothing": 0.0} | recipe)
    job = TrainingJob(graph(decoder), PHOTOS, OTHERS, RECORD, wanted)
    engine = Engine(precision="fp32", micro_batch=micro_batch)
    return Trainer(job, folder, engine=engine, advance=advance)


@pytest.mark.parametrize("decoder", [UNET, DEEPLAB], ids=["unet", "deeplab"])
def test_a_run_that_was_stopped_comes_to_the_same_weights(tmp_path, decoder):
    varied = {"decoder": decoder, "cutmix": 0.5, "policy": "rand", "loss": "cross-entropy+dice"}
    once, history = trainer(tmp_path / "a", **varied).run()
    assert all(0 <= epoch.val_score < 1 for epoch in history)

    class StopError(Exception):
        pass

    def stop(done, total, note):
        if done == 3:
            raise StopError

    with pytest.raises(StopError):
        trainer(tmp_path / "b", advance=stop, **varied).run()
    again, _ = trainer(tmp_path / "b", **varied).run()
    assert all(np.array_equal(once.weights[name], again.weights[name]) for name in once.weights)


def test_the_loss_falls(tmp_path):
    _, history = trainer(tmp_path / "a", epochs=8, schedule="poly", learning_rate=5e-3).run()
    assert history[-1].train_loss < 0.7 * history[0].train_loss


def test_balanced_weights_are_those_of_the_training_masks(tmp_path):
    run = trainer(tmp_path / "a", class_weights="balanced")
    assert run.objective.class_weights == TASK.balanced_weights(PHOTOS, CLASSES)
    assert run.objective.class_weights[0] < 1 < max(run.objective.class_weights)
    with pytest.raises(UsageError, match="2 class weights for 11 classes"):
        trainer(tmp_path / "b", class_weights="1,2")
    with pytest.raises(UsageError, match="unknown loss 'cross'"):
        trainer(tmp_path / "c", loss="cross")


def test_a_lone_photo_is_refused_before_the_pooled_branch_meets_it(tmp_path):
    with pytest.raises(UsageError, match="cannot be normalized over a single photo"):
        trainer(tmp_path / "a", decoder=DEEPLAB, micro_batch=7)
    trainer(tmp_path / "b", decoder=DEEPLAB, micro_batch=7, freeze_norm=True, epochs=1).run()


@pytest.fixture(scope="module")
def pair():
    """A float network whose answers differ, and itself with ranges cut at half."""
    network = prepare(graph())
    kernel = {"logits/kernel": network.weights["logits/kernel"] * 20}
    network = replace(network, weights={**network.weights, **kernel})
    inputs = np.stack([RECORD.normalize(RECORD.pixels(PHOTOS.load(i))) for i in range(8)])
    fixed = fixed_ranges(network, 127, 128)
    ranges = choose_ranges(collect(network, [inputs], skip=fixed), "mse")
    cut = {name: (low, high / 2) for name, (low, high) in ranges.items()}
    return network, quantize(network, {**cut, **fixed})


def quantized_trainer(pair, folder, photos=PHOTOS, **recipe):
    folder.mkdir(exist_ok=True)
    wanted = QatRecipe(
        **{"epochs": 4, "batch_size": 8, "ema_decay": 0.9, "scale_rate": 0.05} | recipe
    )
    job = TrainingJob(pair[1], photos, None, RECORD, wanted)
    return QuantizedTrainer(pair[0], job, folder)


def divergence(pair, learned):
    from edgekit.calibration.simulate import Simulation
    from edgekit.networks.torch_network import Network

    pixels = np.stack([RECORD.pixels(PHOTOS.load(i)) for i in range(8)])
    batch = torch.from_numpy(RECORD.normalize(pixels)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted, found = Network(pair[0]).eval()(batch), Simulation(learned).eval()(batch)
    return TASK.learning.divergence(wanted, found)


@pytest.mark.parametrize("photos", [PHOTOS, SyntheticPhotos(16, 0, "train", SIDE)])
def test_training_in_8_bits_nears_the_float_network_with_masks_and_without(tmp_path, pair, photos):
    learned, _ = quantized_trainer(pair, tmp_path / "a", photos, label_share=0.0).run()
    assert divergence(pair, learned) < 0.8 * divergence(pair, pair[1])


def test_masks_are_needed_where_they_have_a_share(tmp_path, pair):
    with pytest.raises(UsageError, match="no label to learn from"):
        quantized_trainer(pair, tmp_path / "a", SyntheticPhotos(16, 0, "train", SIDE))
    _, history = quantized_trainer(pair, tmp_path / "b", epochs=1, loss="dice").run()
    assert np.isfinite(history[0].train_loss)
