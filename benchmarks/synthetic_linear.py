"""How far a linear model on raw pixels gets on the built-in dataset: it should stay under 60 %.

    python benchmarks/synthetic_linear.py [--resolution 64] [--seed 0]

Prints the top-1 of softmax regression on the validation split for a range of L2 penalties; the best
of them is chosen on that split, so that the figure leans upwards.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from edgekit.data.synthetic import LABELS, TRAIN_COUNT, VAL_COUNT, SyntheticPhotos

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def linear_top1(
    seed: int = 0, resolution: int = 64, penalties: tuple[float, ...] = PENALTIES
) -> dict[float, float]:
    """Fits softmax regression to the train split.

    Args:
        seed: of the dataset.
        resolution: height and width of the photos, in pixels.
        penalties: factors of half the squared norm of the weights, beside the mean cross-entropy.

    Returns:
        The top-1 on the val split, 0 to 1, for each penalty.
    """
    train, val = (
        _pixels(SyntheticPhotos(count, seed, split, resolution))
        for split, count in (("train", TRAIN_COUNT), ("val", VAL_COUNT))
    )
    train, val = train - train.mean(axis=0), val - train.mean(axis=0)
    # There are fewer photos than pixels, and the weights lie in the span of the photos: with
    # K = train @ train.T = L @ L.T, the rows of L pose the same problem, six times smaller.
    gram = (train @ train.T).astype(np.float64)
    gram[np.diag_indices(TRAIN_COUNT)] += 1e-6 * gram.diagonal().mean()  # K is singular by one
    factor = np.linalg.cholesky(gram)
    features = torch.from_numpy(factor).float()
    unseen = torch.from_numpy(np.linalg.solve(factor, train @ val.T).T).float()
    labels = torch.arange(TRAIN_COUNT) % len(LABELS)
    truth = torch.arange(VAL_COUNT) % len(LABELS)
    return {
        penalty: float((_fit(features, labels, penalty)(unseen).argmax(1) == truth).double().mean())
        for penalty in penalties
    }


def _pixels(photos: SyntheticPhotos) -> npt.NDArray[np.float32]:
    """Returns the photos as rows of values in [-1, 1]."""
    rows = [np.asarray(photos.load(i), np.float32).ravel() for i in range(len(photos))]
    return np.stack(rows) / 127.5 - 1


def _fit(features: torch.Tensor, labels: torch.Tensor, penalty: float) -> torch.nn.Linear:
    model = torch.nn.Linear(features.shape[1], len(LABELS), dtype=features.dtype)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(model(features), labels)
        value = value + penalty / 2 * model.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return model.requires_grad_(False)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = linear_top1(options.seed, options.resolution)
    print(f"built-in dataset, seed {options.seed}, {options.resolution} px, {VAL_COUNT} photos")
    print("L2 penalty  top-1 of softmax regression on pixels")
    for penalty, top1 in found.items():
        print(f"{penalty:>10}  {top1:.3f}")
    print(f"best: {max(found.values()):.3f} (below 0.600 wanted)")


if __name__ == "__main__":
    main()
