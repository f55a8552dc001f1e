"""Networks learn boxes, in float and in 8 bits, and resume to the same weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.importance import weigh
from edgekit.calibration.qat import QuantizedTrainer
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.sensitivity import measure
from edgekit.data.boxes.shapes import LABELS, BoxedShapes
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.passes import prepare
from edgekit.tasks.detection.task import TASK
from edgekit.training.engine import Engine
from edgekit.training.job import TrainingJob
from edgekit.training.recipe import QatRecipe, Recipe
from edgekit.training.trainer import Trainer

SIDE = 64
PHOTOS, OTHERS = BoxedShapes(16, 0, "train", SIDE), BoxedShapes(6, 0, "val", SIDE)
DECODER = EfficientDet(channels=8, cells=1, repeats=1)
RECORD = Preprocessing(
    SIDE,
    (127.0,) * 3,
    (128.0,) * 3,
    tuple(LABELS),
    task="detection",
    fit="stretch",
    anchors=DECODER.anchors,
)


def graph():
    spec = replace(narrow("lite0"), decoder=DECODER)
    return build_graph(spec, classes=len(LABELS), resolution=SIDE, seed=0)


def trainer(folder, *, advance=None, micro_batch=None, **recipe):
    folder.mkdir(exist_ok=True)
    wanted = Recipe(**{"epochs": 2, "batch_size": 8, "label_smoothing": 0.0} | recipe)
    job = TrainingJob(graph(), PHOTOS, OTHERS, RECORD, wanted)
    engine = Engine(precision="fp32", micro_batch=micro_batch)
    return Trainer(job, folder, engine=engine, advance=advance)


def test_a_run_that_was_stopped_comes_to_the_same_weights(tmp_path):
    once, history = trainer(tmp_path / "a", policy="rand").run()
    assert all(0 <= epoch.val_score < 1 for epoch in history)

    class StopError(Exception):
        pass

    def stop(done, total, note):
        if done == 3:
            raise StopError

    with pytest.raises(StopError):
        trainer(tmp_path / "b", advance=stop, policy="rand").run()
    again, _ = trainer(tmp_path / "b", policy="rand").run()
    assert all(np.array_equal(once.weights[name], again.weights[name]) for name in once.weights)


def test_the_loss_falls(tmp_path):
    _, history = trainer(tmp_path / "a", epochs=6, learning_rate=5e-3).run()
    assert history[-1].train_loss < 0.8 * history[0].train_loss


def test_what_boxes_cannot_do_is_refused(tmp_path):
    with pytest.raises(UsageError, match="mixup and cutmix are not for detection"):
        trainer(tmp_path / "a", cutmix=0.5).run()
    with pytest.raises(UsageError, match="unknown loss 'dice'"):
        trainer(tmp_path / "b", loss="dice")
    run = trainer(tmp_path / "c", class_weights="balanced")
    assert run.objective.class_weights == TASK.balanced_weights(PHOTOS, len(LABELS))
    assert run.objective.anchors == DECODER.anchors


@pytest.fixture(scope="module")
def inputs():
    return np.stack([RECORD.normalize(RECORD.pixels(PHOTOS.load(i))) for i in range(8)])


@pytest.fixture(scope="module")
def pair(inputs):
    """A float network that finds something, and itself with ranges cut at half."""
    network = prepare(graph())
    louder = {
        name: array + 3 if name == "class_p3/bias" else array
        for name, array in network.weights.items()
    }
    network = replace(network, weights=louder)
    fixed = fixed_ranges(network, 127, 128)
    ranges = choose_ranges(collect(network, [inputs], skip=fixed), "mse")
    cut = {name: (low / 2, high / 2) for name, (low, high) in ranges.items()}
    return network, quantize(network, {**cut, **fixed})


def divergence(pair, learned, inputs):
    from edgekit.calibration.simulate import Simulation
    from edgekit.networks.torch_network import Network

    batch = torch.from_numpy(inputs).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted, found = Network(pair[0]).eval()(batch), Simulation(learned).eval()(batch)
    return TASK.learning.divergence(wanted, found)


def quantized_trainer(pair, folder, photos=PHOTOS, **recipe):
    folder.mkdir(exist_ok=True)
    wanted = QatRecipe(
        **{"epochs": 4, "batch_size": 8, "ema_decay": 0.9, "scale_rate": 0.05} | recipe
    )
    job = TrainingJob(pair[1], photos, None, RECORD, wanted)
    return QuantizedTrainer(pair[0], job, folder)


@pytest.mark.parametrize("photos", [PHOTOS, SyntheticPhotos(16, 0, "train", SIDE)])
def test_training_in_8_bits_nears_the_float_network_with_boxes_and_without(
    tmp_path, pair, inputs, photos
):
    learned, _ = quantized_trainer(pair, tmp_path / "a", photos, label_share=0.0).run()
    assert divergence(pair, learned, inputs) < 0.8 * divergence(pair, pair[1], inputs)


def test_boxes_are_needed_where_they_have_a_share(tmp_path, pair):
    with pytest.raises(UsageError, match="no label to learn from"):
        quantized_trainer(pair, tmp_path / "a", SyntheticPhotos(16, 0, "train", SIDE))
    _, history = quantized_trainer(pair, tmp_path / "b", epochs=1).run()
    assert np.isfinite(history[0].train_loss)


def test_what_each_tensor_costs_is_estimated_for_boxes_and_classes(pair, inputs):
    costs = {cost.name: cost for cost in measure(pair[1], [inputs[:2]], task="detection", exact=1)}
    for name in ("box_p3", "class_p3", "box_p3/kernel", "class_p3/kernel"):
        assert costs[name].kl_estimate > 0
    assert max(cost.cost for cost in costs.values()) > 0


def test_values_are_counted_by_what_they_change(pair, inputs):
    histograms = collect(pair[0], [inputs], skip=())
    weighed = weigh(pair[0], histograms, [inputs[:2]], task="detection")
    changed = [name for name, one in weighed.items() if one.importance is not None]
    assert {"boxes", "logits"} <= {*changed}
