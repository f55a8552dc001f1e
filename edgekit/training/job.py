"""What a training is given, as data that can be sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingJob:
    """Everything that decides the weights.

    Attributes:
        graph: the network to start from.
        train: photos to learn from.
        val: photos to watch, if any.
        preprocessing: how a photo becomes an input, and what the network is for.
        recipe: how it is trained.
        targets: float32 [n, ...], probabilities to learn in place of the photos' labels.
    """

    graph: Graph
    train: PhotoSet
    val: PhotoSet | None
    preprocessing: Preprocessing
    recipe: Recipe
    targets: npt.NDArray[np.float32] | None = None
