"""Quantization-aware training mends what ranges lost, and resumes exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.qat import QuantizedTrainer
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import Network
from edgekit.training.checkpoint import CHECKPOINT
from edgekit.training.job import TrainingJob
from edgekit.training.recipe import QatRecipe

SIZE, CLASSES = 32, 10
PHOTOS = SyntheticPhotos(32, 0, "train", SIZE)
PREPROCESSING = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, tuple("abcdefghij"), 1.0)
INPUTS = np.stack(
    [PREPROCESSING.normalize(PREPROCESSING.pixels(PHOTOS.load(i))) for i in range(len(PHOTOS))]
)
BATCH = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def pair():
    """A float network whose logits differ from photo to photo, and itself with ranges cut."""
    graph = prepare(build_graph(narrow("lite0"), classes=CLASSES, resolution=SIZE, seed=2))
    graph = replace(
        graph, weights={**graph.weights, "logits/kernel": graph.weights["logits/kernel"] * 40}
    )
    fixed = fixed_ranges(graph, 127, 128)
    ranges = choose_ranges(collect(graph, [INPUTS], skip=fixed), "mse")
    # Every tensor is cut at a third of its range: far more than rounding.
    cut = {name: (low, high / 3) for name, (low, high) in ranges.items()}
    return graph, quantize(graph, {**cut, **fixed})


def trainer(pair, folder, *, epochs=4, photos=PHOTOS, advance=None, **recipe):
    folder.mkdir(exist_ok=True)
    teacher, student = pair
    recipe = {"scale_rate": 0.05, "learning_rate": 0.1, "label_share": 0.0, **recipe}
    return QuantizedTrainer(
        teacher,
        TrainingJob(
            student,
            photos,
            None,
            PREPROCESSING,
            QatRecipe(epochs=epochs, batch_size=8, ema_decay=0.9, min_crop_area=0.9, **recipe),
        ),
        folder,
        advance=advance,
    )


def kl(teacher, student):
    with torch.inference_mode():
        wanted = Network(teacher).eval()(BATCH).log_softmax(1)
        found = Simulation(student).eval()(BATCH).log_softmax(1)
    return float((wanted.exp() * (wanted - found)).sum(1).mean())


def test_bad_ranges_are_repaired_and_the_scheme_stays(pair, tmp_path):
    teacher, broken = pair
    learned, history = trainer(pair, tmp_path / "a", epochs=8).run()
    assert kl(teacher, learned) < 0.5 * kl(teacher, broken)
    assert [epoch.val_score for epoch in history] == [None] * 8
    assert learned.nodes == broken.nodes
    for name, params in broken.quant.items():
        assert learned.quant[name].zero_point == params.zero_point
        if name == "input" or name.endswith("/kernel"):
            assert learned.quant[name].scale == params.scale
    free = [name for name in broken.quant if "/" not in name and name != "input"]
    moved = [name for name in free if learned.quant[name].scale != broken.quant[name].scale]
    assert len(moved) > 0.9 * len(free)


@pytest.mark.slow  # training/test_trainer has the same of a float run
def test_an_interrupted_run_ends_with_the_same_integers(pair, tmp_path):
    whole, _ = trainer(pair, tmp_path / "a").run()

    class StopError(Exception):
        pass

    def stop(done, total, note):
        if done == 6:  # four steps an epoch
            raise StopError

    with pytest.raises(StopError):
        trainer(pair, tmp_path / "b", advance=stop).run()
    assert (tmp_path / "b" / CHECKPOINT).exists()
    resumed, _ = trainer(pair, tmp_path / "b").run()
    assert resumed.quant == whole.quant
    assert all(np.array_equal(whole.weights[n], resumed.weights[n]) for n in whole.weights)


@pytest.mark.slow  # 45 epochs; tests/pipeline/test_repair.py trains with labels too
def test_labels_pull_where_the_teacher_is_wrong(pair, tmp_path):
    def right(graph):
        with torch.inference_mode():
            answers = Simulation(graph).eval()(BATCH).argmax(1).numpy()
        return (answers == PHOTOS.labels).mean()

    learned, _ = trainer(pair, tmp_path / "a", epochs=45, label_share=1.0).run()
    assert right(learned) > right(pair[1]) + 0.2


def test_ranges_stand_still_at_the_end(pair, tmp_path):
    run = trainer(pair, tmp_path / "a", epochs=10, frozen=0.3)
    rates = [run.rates(step) for step in range(run.steps)]
    moving = [step for step, (_, scale) in enumerate(rates) if scale > 0]
    assert moving == list(range(28))  # of 40
    assert all(weight > 0 for weight, _ in rates)
    assert max(weight for weight, _ in rates) == pytest.approx(0.1, rel=0.1)


def test_a_photo_without_a_label_needs_the_teacher_alone(pair, tmp_path):
    class Unlabelled(SyntheticPhotos):
        labels = np.full(16, -1)

    unlabelled = Unlabelled(16, 0, "train", SIZE)
    with pytest.raises(UsageError, match="no label") as raised:
        trainer(pair, tmp_path / "a", photos=unlabelled, label_share=0.5)
    assert "--distill-only" in raised.value.hint
    trainer(pair, tmp_path / "a", photos=unlabelled, epochs=1).run()


def test_a_loss_that_is_no_number_ends_it(pair, tmp_path):
    teacher, student = pair
    weights = {**teacher.weights, "logits/bias": np.full(CLASSES, np.nan, np.float32)}
    broken = (replace(teacher, weights=weights), student)
    with pytest.raises(EdgekitError, match="not a number"):
        trainer(broken, tmp_path / "a", epochs=1).run()


@pytest.mark.parametrize(
    "wrong", [{"label_share": 1.5}, {"frozen": -0.1}, {"scale_rate": -1.0}, {"learning_rate": 0.0}]
)
def test_recipes_are_checked(wrong):
    with pytest.raises(UsageError):
        QatRecipe(epochs=1, **wrong)
