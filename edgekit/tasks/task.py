"""The contract of a task: everything that differs between what networks are for.

Three kinds of values go through it:

- *Outputs*: what a network answers to n images, an array [n, ...] of any real dtype, maps NHWC; of
  a network with several outputs all columns of their rows, [n, rows, columns]
  (`edgekit.networks.graph.Graph.outputs`). Where that is too much to keep of every image,
  `Task.keep` makes less of it, an array or a structured array [n] with named fields, which is
  saved, joined and indexed by image like any other; all that a task does with outputs in numpy it
  does with what `keep` gave.
- *Labels*: what is known of n images, indexed by image: class indices int64 [n], masks
  uint8 [n, height, width], an object array [n] of boxes and where the photo is in the input.
- *Targets*: a batch of labels as the loss takes it, a torch tensor, or another form of it (mixed
  or of a teacher) that the same loss takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from edgekit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing
    from edgekit.data.splits import Splits, Wanted
    from edgekit.networks.graph import Graph
    from edgekit.tasks.drift import Drift
    from edgekit.tasks.learning import Learning

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """The figure that a task is judged by, a fraction; higher is better.

    Attributes:
        key: in records: a row has it as ``key`` and ``key_ci95``, an epoch as ``val_key``.
        name: in a sentence.
        title: of a chart.
    """

    key: str
    name: str
    title: str

    def value(self, row: Mapping[str, object]) -> float:
        """Of a row of the report."""
        return cast(float, row[self.key])

    def interval(self, row: Mapping[str, object]) -> tuple[float, float]:
        """Of a row of the report: where the true figure is with a probability of 95 %."""
        low, high = cast("Sequence[float]", row[f"{self.key}_ci95"])
        return low, high

    def to_record(self, values: Record) -> dict[str, Any]:
        """The values with ``score`` in their names replaced by `key`, as files hold them."""
        return {_renamed(name, "score", self.key): value for name, value in values.items()}

    def from_record(self, record: Record) -> dict[str, Any]:
        """Reads what `to_record` gave."""
        return {_renamed(name, self.key, "score"): value for name, value in record.items()}


def _renamed(name: str, word: str, other: str) -> str:
    """A name in which one of the words between underscores is another."""
    return "_".join(other if part == word else part for part in name.split("_"))


class Closeness(NamedTuple):
    """How near outputs are to a reference's on the same images; no label is needed.

    Attributes:
        agreement: share of equal answers; NaN where n is 0.
        kl: mean over the images of the divergence of their probabilities, in nats; NaN where
            outputs have none.
        expected_drop: of the metric, as the reference's own probabilities let expect.
    """

    agreement: float
    kl: float
    expected_drop: float


class Recipes(NamedTuple):
    """The recipes (`edgekit.training.recipe_files`) of a task where none is asked for.

    Attributes:
        scratch: from random weights.
        finetune: from trained ones.
        shapes: of the built-in photos, from random weights; its smallest crop is that of all
            training on them.
    """

    scratch: str = "scratch"
    finetune: str = "finetune"
    shapes: str = "shapes"


class Output(NamedTuple):
    """An output of a file, in words for whoever reads its metadata."""

    name: str
    description: str


class Description(NamedTuple):
    """What a file's metadata say of a network.

    Attributes:
        text: what it is for, a sentence.
        labels: names of the classes in the order of the output; none where it has no head.
        outputs: in the order of the network's.
    """

    text: str
    labels: tuple[str, ...]
    outputs: tuple[Output, ...]


class Column(NamedTuple):
    """One figure of every row; where space is short, the highest ``spare`` goes first."""

    title: str
    cell: Callable[[Any], str]
    spare: int = 0
    compares: bool = False  # with other rows: a single one does not have it
    is_known: Callable[[Sequence[Any]], bool] = bool  # whether these rows have anything to show


class Example(Protocol):
    """An image that the page shows; what else it has, the task's own template knows."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 [height, width, 3], RGB; several pictures are side by side."""


class Head(ABC):
    """The layers at the end of a Graph that only this task has."""

    @abstractmethod
    def is_on(self, graph: Graph) -> bool:
        """Whether the network ends with a head."""

    @abstractmethod
    def replace(self, graph: Graph, classes: int, seed: int) -> Graph:
        """The network with a freshly drawn head for so many classes."""

    @abstractmethod
    def remove(self, graph: Graph) -> Graph:
        """The network up to its features."""

    @abstractmethod
    def apply(self, graph: Graph, features: NDArray[Any]) -> NDArray[Any]:
        """Outputs of a network's own head, in float, from features [n, ...]."""


class Page(ABC):
    """What is shown of the task in the terminal and in ``report.html``.

    Attributes:
        folder: has ``page.html.j2`` with the macros ``heads``, ``cells``, ``note``,
            ``note_alone``, ``note_labels``, ``dots``, ``answers`` and ``lost``; see that of
            classification.
        answer: Python that prints the answer in ``scores``, the output for one image, where
            ``{labels}`` are the names of the classes.
        reads: Python that makes ``scores`` of ``results``, what a TFLite ``model`` says of its
            outputs.
    """

    folder: Path
    answer: str
    reads: str = 'scores = model.get_tensor(results[0]["index"])[0]'

    def answer_of(self, output: str) -> tuple[str, str] | None:
        """`reads` and `answer` of files with this output; None where nothing is printed of it."""
        return (self.reads, self.answer) if output == "logits" else None

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """Of the table of rows, between the runtime and the size."""

    @abstractmethod
    def evaluate(
        self, forms: Mapping[str, NDArray[Any]], labels: Any, names: Sequence[str]
    ) -> Record:
        """More of the answers, in JSON values; the report's ``evaluation``.

        Args:
            forms: outputs of n images by stage: of the float network, and where there is one, of
                the int8 file after it.
            labels: of the same.
            names: of the classes, in order.
        """

    @abstractmethod
    def hardest(
        self, outputs: NDArray[Any], photos: PhotoSet, preprocessing: Preprocessing, count: int
    ) -> Sequence[Example]:
        """The images with the highest loss, the highest first."""

    @abstractmethod
    def lost(
        self,
        reference: NDArray[Any],
        outputs: NDArray[Any],
        photos: PhotoSet,
        preprocessing: Preprocessing,
        count: int,
    ) -> tuple[Sequence[Example], int]:
        """Images that only the reference answers rightly: the first ones, and how many."""


class HubWords(NamedTuple):
    """What a model hub calls things: ``pipeline_tag`` of a model, and the type of a metric."""

    pipeline_tag: str
    metric: str


class Task(ABC):
    """A task; it has no state, so that one object serves every run.

    Attributes:
        name: of its package, in records and in tables.
        metric: what it is judged by.
        head: its layers.
        page: its part of the report.
        model_type: the word of OpenVINO's Model API for it; empty where it has none.
        hub_words: its own and its metric's on a model hub.
        device_program: a file that runs on a device, alone, with a model beside it.
        outputs: what files of the task may end with, the default first.
        recipes: how its networks are trained where nothing else is asked for.
        lacking: what options ask for that it does not have (``embedding``, ``mixup``, ``cutmix``,
            ``noisy-student``, ``--photos``), each with the reason.
        ranked: outputs of its networks by whose largest values, of very many, answers are chosen:
            no range of 8 bits cuts these off.
        usual_model: the variant for photos of the task where nothing else is known.
        builtin_side: of the built-in photos, in pixels, where no resolution is given: enough for
            them, and quick to learn from.
    """

    name: str
    metric: Metric
    head: Head
    page: Page
    model_type: str
    hub_words: HubWords
    device_program: Path
    outputs: tuple[str, ...] = ("logits",)
    recipes: Recipes = Recipes()
    lacking: Mapping[str, str] = MappingProxyType({})
    ranked: tuple[str, ...] = ()
    usual_model: str = "lite0"
    builtin_side: int = 64

    @property
    @abstractmethod
    def learning(self) -> Learning:
        """Its training; imports torch."""

    @abstractmethod
    def find_splits(self, wanted: Wanted) -> Splits:
        """Finds, reads and divides the images of a run; raises UsageError where it cannot."""

    @abstractmethod
    def fingerprint(self, wanted: Wanted) -> str:
        """A cheap key, in hex, of all that `find_splits` would read; nothing is decoded."""

    @abstractmethod
    def labels(self, photos: PhotoSet, preprocessing: Preprocessing) -> Any:
        """The labels of all images of a set, indexed by image, as its inputs are prepared."""

    def has_labels(self, photos: PhotoSet) -> bool:
        """Whether each image of a set has a label to learn from."""
        return bool((photos.labels >= 0).all())

    @abstractmethod
    def balanced_weights(self, photos: PhotoSet, classes: int) -> tuple[float, ...]:
        """A weight for each class, by which rare ones count as much as common ones."""

    def keep(
        self, outputs: NDArray[Any], preprocessing: Preprocessing | None = None
    ) -> NDArray[Any]:
        """What is kept of outputs; all of them, unless a task overrides it.

        Args:
            outputs: of n images, as a network or a file gives them; maps NHWC.
            preprocessing: of these images; what a task needs it for it says itself.
        """
        return outputs

    @abstractmethod
    def decode(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Answers [n, ...] in the form of labels: classes, masks, boxes."""

    @abstractmethod
    def tally(self, outputs: NDArray[Any], labels: Any) -> tuple[float, ...]:
        """Sums over images from which `score` is computed; processes add theirs up."""

    @abstractmethod
    def score(self, tally: Sequence[float]) -> float:
        """The metric, a fraction, from sums of `tally`."""

    def metric_of(self, outputs: NDArray[Any], labels: Any) -> float:
        """The metric of all images at once, to all of its digits: a fraction."""
        return self.score(self.tally(outputs, labels))

    @abstractmethod
    def measure(
        self, outputs: NDArray[Any], labels: Any, reference: NDArray[Any] | None = None
    ) -> dict[str, Any]:
        """The figures of a row.

        Args:
            outputs: of n images.
            labels: of the same.
            reference: outputs of the float network; None where there are none.

        Returns:
            The metric and its interval under the names of `Metric`; ``agreement``, ``kl``,
            ``drop_pp`` (points of the metric lost, paired on the same images) and ``drop_se_pp``
            (its standard error), which are None without a reference; and the task's own figures.

        Raises:
            UsageError: the arrays do not belong together.
        """

    @abstractmethod
    def compare(self, reference: NDArray[Any], outputs: NDArray[Any]) -> Closeness:
        """How near outputs are to a reference's; raises UsageError where the shapes differ."""

    @abstractmethod
    def divergences(
        self, reference: NDArray[Any], outputs: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        """The divergence from the reference by image, float64 [n], in nats; NaN: not finite.

        None where outputs have no probabilities, as those of a file that ends with answers.
        """

    def find_drift(self, before: NDArray[Any], now: NDArray[Any], labels: Sequence[str]) -> Drift:
        """Compares outputs for validation images with those of a deployed network.

        Args:
            before: of n images.
            now: of m others, of which no label is known.
            labels: names of the classes.

        Raises:
            UsageError: the task cannot say, or there are too few.
        """
        raise UsageError(
            f"nothing tells how answers of {self.name} have changed",
            cause="only a classifier's program keeps a log",
        )

    def end_with(self, graph: Graph, output: str) -> Graph:
        """A network, float or quantized, as files have it that end with one of `outputs`."""
        return graph

    @abstractmethod
    def describe(self, graph: Graph, labels: Sequence[str]) -> Description:
        """What a file of the network says of itself; ``labels`` are the names of the classes."""
