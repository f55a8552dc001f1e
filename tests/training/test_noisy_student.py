"""A student learns what its teacher is sure of, as many photos of each class."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from narrow import narrow

from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import LABELS, SyntheticPhotos
from edgekit.errors import EdgekitError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.graph import Graph
from edgekit.tasks.classification.task import TASK
from edgekit.training import noisy_student as student
from edgekit.training.engine import Engine
from edgekit.training.epochs import Epoch
from edgekit.training.job import TrainingJob
from edgekit.training.noisy_student import Lessons, choose, teach
from edgekit.training.recipe import Recipe, StudentRecipe

SIDE, CLASSES = 32, 10


def answers(*pairs, classes=3):
    """Logits of a teacher that gives each photo a class with a probability."""
    probabilities = np.empty((len(pairs), classes), np.float32)
    for row, (label, sureness) in zip(probabilities, pairs, strict=True):
        row[:] = (1 - sureness) / (classes - 1)
        row[label] = sureness
    return np.log(probabilities)


def chosen(logits, **recipe):
    given = StudentRecipe(**{"epochs": 1, "balance": False} | recipe)
    return choose(logits, given, TASK.learning)


def test_what_the_teacher_is_sure_of_is_taken_the_surest_first():
    logits = answers((0, 0.6), (1, 0.9), (2, 0.4), (0, 0.7))
    assert chosen(logits, confidence=0.5).photos.tolist() == [1, 3, 0]
    assert chosen(logits, confidence=0.65).photos.tolist() == [1, 3]
    assert chosen(logits, confidence=0.0).photos.tolist() == [1, 3, 0, 2]


def test_equally_sure_answers_keep_their_order():
    assert chosen(answers(*[(1, 0.75)] * 40)).photos.tolist() == list(range(40))


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_nothing_is_taken_where_it_is_sure_of_nothing(balance, soft):
    labels = chosen(answers((0, 0.5), (1, 0.6)), confidence=0.7, balance=balance, soft=soft)
    assert labels.photos.shape == (0,)
    assert labels.targets.shape == (0, 3)


def test_soft_labels_are_the_teachers_probabilities():
    labels = chosen(answers((0, 0.6), (1, 0.9)), soft=True)
    assert labels.targets.dtype == np.float32
    np.testing.assert_allclose(labels.targets, [[0.05, 0.9, 0.05], [0.6, 0.2, 0.2]], atol=1e-6)


def test_hard_labels_are_its_answers():
    labels = chosen(answers((0, 0.6), (1, 0.9)), soft=False)
    assert labels.targets.dtype == np.float32
    assert labels.targets.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_balance_takes_the_surest_of_a_large_class_and_repeats_those_of_a_small_one():
    logits = answers(
        *[(0, 0.60), (0, 0.95), (0, 0.70), (0, 0.90), (0, 0.65), (0, 0.85), (0, 0.80)],
        *[(2, 0.70), (2, 0.90)],
    )  # nine photos of two classes: four or five of each
    labels = chosen(logits, balance=True, soft=False)
    assert labels.photos.tolist() == [1, 3, 5, 6, 8, 7, 8, 7]
    assert labels.targets.argmax(1).tolist() == [0] * 4 + [2] * 4


def test_classes_that_it_is_never_sure_of_are_left_out_of_the_balance():
    labels = chosen(answers((1, 0.9), (1, 0.8), (0, 0.4)), confidence=0.5, balance=True)
    assert labels.photos.tolist() == [0, 1]


TRAIN = SyntheticPhotos(20, 0, "train", SIDE)
UNLABELLED = SyntheticPhotos(30, 1, "train", SIDE)
TEACHER = Recipe(epochs=1, batch_size=8, seed=3)


def lessons(**recipe):
    """Twenty labelled photos, and thirty others."""
    spec = narrow("lite0")
    job = TrainingJob(
        build_graph(spec, classes=CLASSES, resolution=SIDE, seed=0),
        TRAIN,
        SyntheticPhotos(10, 0, "val", SIDE),
        Preprocessing(SIDE, spec.mean, spec.std, LABELS, crop_fraction=1.0),
        StudentRecipe(**{"epochs": 1, "batch_size": 8} | recipe),
    )
    return Lessons(job, TEACHER, UNLABELLED)


class School:
    """Stands in for training and for the teacher's answers, and keeps what it was given."""

    def __init__(self):
        self.tasks, self.told, self.asked = {}, [], 0
        # Sure of the class i % 10 of photo i, but for the last ten.
        self.logits = answers(
            *[(i % CLASSES, 0.9 if i < 20 else 0.2) for i in range(30)], classes=CLASSES
        )

    def lead(self, task, folder, engine, *, advance, warn):
        self.tasks[folder.name] = task
        advance(1, 2, "half")
        weights = {name: array + len(self.tasks) for name, array in task.graph.weights.items()}
        return replace(task.graph, weights=weights), [
            Epoch(1, 0.5, 0.25, 1e-3, 9.0, resolution=len(self.tasks))
        ]

    def predict(self, network, photos, preprocessing, *, device, advance):
        assert photos is UNLABELLED
        self.asked += 1
        advance(30, 30)
        return self.logits

    def teach(self, folder, **recipe):
        return teach(lessons(**recipe), folder, Engine(), lambda *told: self.told.append(told))


@pytest.fixture
def school(monkeypatch):
    made = School()
    monkeypatch.setattr(student, "lead", made.lead)
    monkeypatch.setattr(student, "predict", made.predict)
    return made


def test_the_teacher_learns_from_the_labelled_photos_by_its_own_recipe(school, tmp_path):
    school.teach(tmp_path)
    task = school.tasks["teacher"]
    assert (task.train, task.targets, task.recipe) == (TRAIN, None, TEACHER)


def test_the_student_learns_from_the_labelled_photos_and_from_the_sure_ones(school, tmp_path):
    school.teach(tmp_path, labelled_repeats=2, soft=False)
    task = school.tasks["student-1"]
    assert isinstance(task.recipe, StudentRecipe)
    # A class's two sure photos are as sure as each other: they come in their order.
    sure = [UNLABELLED.names[i] for label in range(CLASSES) for i in (label, label + 10)]
    assert list(task.train.names) == [*TRAIN.names, *TRAIN.names, *sure]
    classes = [i % CLASSES for i in range(20)] * 2 + [c for c in range(CLASSES) for _ in range(2)]
    assert task.targets.dtype == np.float32
    assert task.targets.tolist() == np.eye(CLASSES)[classes].tolist()


def test_labels_of_the_unlabelled_photos_are_not_looked_at(school, tmp_path):
    school.logits = np.roll(school.logits, 1, axis=1)  # wrong of every photo
    school.teach(tmp_path, soft=False)
    task = school.tasks["student-1"]
    wrong = (task.train.labels[20:] + 1) % CLASSES
    assert task.targets[20:].argmax(1).tolist() == wrong.tolist()


@pytest.mark.parametrize("start", ["weights", "teacher"])
def test_a_student_starts_from_the_weights_or_from_its_teacher(school, tmp_path, start):
    school.teach(tmp_path, start=start, iterations=2)
    steps = [
        float(school.tasks[name].graph.weights["logits/bias"][0])
        for name in ("teacher", "student-1", "student-2")
    ]
    begin = steps[0]
    added = [0, 0, 0] if start == "weights" else [0, 1, 1 + 2]  # by the trainings before
    assert [step - begin for step in steps] == added


def test_the_last_student_is_returned_and_the_others_are_described(school, tmp_path):
    graph, history, earlier = school.teach(tmp_path, iterations=2)
    assert float(graph.weights["logits/bias"][0]) == pytest.approx(
        float(school.tasks["student-2"].graph.weights["logits/bias"][0]) + 3
    )
    assert [epoch.resolution for epoch in history] == [3]
    assert [network["name"] for network in earlier] == ["teacher", "student 1"]
    assert [network["history"][0]["resolution"] for network in earlier] == [1, 2]
    assert earlier[0]["recipe"] == asdict(TEACHER)
    assert earlier[1]["recipe"]["iterations"] == 2


def test_what_is_done_is_told(school, tmp_path):
    school.teach(tmp_path)
    assert school.told == [
        ("train teacher", 1, 2, "half"),
        ("label", 30, 30, ""),
        ("train student", 1, 2, "half"),
    ]


def test_what_is_finished_is_not_done_again(school, tmp_path):
    first = school.teach(tmp_path)
    tasks, school.tasks, school.logits = school.tasks, {}, None
    graph, history, earlier = school.teach(tmp_path)
    assert tasks.keys() == {"teacher", "student-1"}
    assert school.tasks == {}
    assert school.asked == 1
    assert (history, earlier) == first[1:]
    np.testing.assert_array_equal(graph.weights["logits/kernel"], first[0].weights["logits/kernel"])


def test_a_student_that_was_interrupted_has_the_same_labels_again(school, tmp_path, monkeypatch):
    def interrupted(task, folder, *args, **more):
        if folder.name == "student-1":
            raise KeyboardInterrupt
        return school.lead(task, folder, *args, **more)

    monkeypatch.setattr(student, "lead", interrupted)
    with pytest.raises(KeyboardInterrupt):
        school.teach(tmp_path)
    monkeypatch.setattr(student, "lead", school.lead)
    school.teach(tmp_path)
    assert school.asked == 1
    assert len(school.tasks["student-1"].train) == 40


def test_a_teacher_that_is_sure_of_nothing_ends_the_run(school, tmp_path):
    with pytest.raises(EdgekitError, match="sure of none of the 30 unlabelled photos") as caught:
        school.teach(tmp_path, confidence=0.95)
    assert "0.95" in caught.value.cause
    assert "--student-confidence" in caught.value.hint


def test_only_a_students_recipe_can_be_taught(tmp_path):
    asked = lessons()
    plain = replace(asked, job=replace(asked.job, recipe=TEACHER))
    with pytest.raises(TypeError, match="Recipe"):
        teach(plain, tmp_path, Engine(), print)


def test_a_teacher_and_a_student_are_trained(tmp_path):
    told = []
    graph, history, earlier = teach(
        lessons(confidence=0.0), tmp_path, Engine(), lambda *words: told.append(words[0])
    )
    assert [len(epochs) for epochs in (history, earlier[0]["history"])] == [1, 1]
    assert told[:2] == ["train teacher"] * 2
    assert set(told) == {"train teacher", "label", "train student"}
    first = Graph.load(tmp_path / "teacher" / student.GRAPH)
    assert not np.array_equal(first.weights["logits/kernel"], graph.weights["logits/kernel"])
    assert np.isfinite(history[0].train_loss)
